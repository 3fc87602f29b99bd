"""The network: images of any size from 224 up -> score map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vggbench.paper.configs import FC6_KERNEL, FC_SIZE, Config, scaled


class CrossChannelNorm(nn.Module):
    """Krizhevsky's local response normalisation, b = a / (k + alpha * sum of a^2 over n channels)^beta.

    k=2, n=5, alpha=1e-4, beta=0.75 (paper, section 2.1, citing Krizhevsky et al. 2012). PyTorch
    divides alpha by n, hence 5e-4. The squares are of float32, whatever the maps are of: in float16 those of
    activations beyond 255 are infinite, and what is divided by them would be 0.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape and type."""
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        return F.local_response_norm(wide, size=5, alpha=5e-4, beta=0.75, k=2.0).to(maps.dtype)


class VGG(nn.Module):
    """A config of the paper, `width` times as wide, with torchvision's state-dict keys.

    LRN takes no index of its own: it rides on the ReLU before it, so that A and A-LRN
    share keys. `ceil_pool` rounds pooled sizes up, as Caffe does.
    """

    def __init__(self, config: Config, classes: int = 1000, width: float = 1.0, *, ceil_pool: bool = False) -> None:
        super().__init__()
        self.config, self.classes, self.width, self.ceil_pool = config, classes, width, ceil_pool
        self.features = nn.Sequential(*_feature_layers(config, width, ceil_pool))
        hidden = scaled(FC_SIZE, width)
        pooled = scaled(config.layers[-1].channels, width)
        self.classifier = nn.Sequential(
            nn.Linear(pooled * FC6_KERNEL**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> score map (N, K, h, w) before softmax; 224 x 224 gives h = w = 1."""
        maps = self.features(images)  # (N, C, h + 6, w + 6)
        if maps.shape[2:] == (FC6_KERNEL, FC6_KERNEL):
            scores: Tensor = self.classifier(maps.flatten(1))[:, :, None, None]
            return scores
        fc6, fc7, fc8 = (layer for layer in self.classifier if isinstance(layer, nn.Linear))
        maps = self._hidden(F.conv2d(maps, fc6.weight.view(len(fc6.weight), -1, FC6_KERNEL, FC6_KERNEL), fc6.bias))
        maps = self._hidden(F.conv2d(maps, fc7.weight[:, :, None, None], fc7.bias))
        return F.conv2d(maps, fc8.weight[:, :, None, None], fc8.bias)

    def _hidden(self, maps: Tensor) -> Tensor:
        return F.dropout(F.relu_(maps), 0.5, self.training)


class Trunk(VGG):
    """The layers of a VGG up to one of them, shared with it: a score map is what that layer gives, (N, C, h, w)."""

    def __init__(self, whole: VGG, layers: int, fc_layers: int) -> None:
        nn.Module.__init__(self)
        self.config, self.classes, self.width, self.ceil_pool = whole.config, 0, whole.width, whole.ceil_pool
        self.features, self.classifier = whole.features[:layers], whole.classifier[:fc_layers]

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, h, w)."""
        maps: Tensor = self.features(images)
        if not len(self.classifier):
            return maps
        height, width = maps.shape[2] - FC6_KERNEL + 1, maps.shape[3] - FC6_KERNEL + 1
        rows: Tensor = self.classifier(windows(maps))
        return rows.view(len(maps), height, width, -1).permute(0, 3, 1, 2)


def trunk(whole: VGG, layer: str, *, after_relu: bool = True) -> Trunk:
    """A net up to `pool1` to `pool5`, `fc6` or `fc7`, these with their ReLU or without; in evaluation, as it is."""
    places = [place for place, module in enumerate(whole.features) if isinstance(module, nn.MaxPool2d)]
    if layer.startswith("pool"):
        found = Trunk(whole, places[int(layer[-1]) - 1] + 1, 0)
    else:
        linear = [place for place, module in enumerate(whole.classifier) if isinstance(module, nn.Linear)]
        found = Trunk(whole, len(whole.features), linear[("fc6", "fc7").index(layer)] + 1 + after_relu)
    return found.train(whole.training)


def windows(maps: Tensor) -> Tensor:
    """The 7 x 7 windows that fc6 sees, (N, C, h + 6, w + 6) -> (N * h * w, C * 49), one row per position."""
    positions = maps.unfold(2, FC6_KERNEL, 1).unfold(3, FC6_KERNEL, 1)  # (N, C, h, w, 7, 7)
    return positions.permute(0, 2, 3, 1, 4, 5).reshape(-1, maps.shape[1] * FC6_KERNEL**2)


def initialise(net: VGG, seed: int) -> None:
    """Draw random weights: He's normal for the convolutions, N(0, 0.01) for fc layers, zero biases."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _feature_layers(config: Config, width: float, ceil_pool: bool) -> list[nn.Module]:
    modules: list[nn.Module] = []
    channels = 3
    for layer in config.layers:
        if layer.kind == "pool":
            modules.append(nn.MaxPool2d(2, 2, ceil_mode=ceil_pool))
        elif layer.kind == "lrn":
            modules[-1] = nn.Sequential(modules[-1], CrossChannelNorm())
        else:
            inputs, channels = channels, scaled(layer.channels, width)
            modules.append(nn.Conv2d(inputs, channels, layer.kernel, padding=layer.kernel // 2))
            if config.batch_norm:
                modules.append(nn.BatchNorm2d(channels))
            modules.append(nn.ReLU(inplace=True))
    return modules
