"""`probe`: a linear SVM on image descriptors, by the protocol of each set of the paper's Table 11 (appendix B)."""
