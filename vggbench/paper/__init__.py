"""What the paper says: its nets, its protocols as geometry, its published figures. Tables and pure functions."""
