"""What networks expect of an image: inputs against torchvision's arithmetic and Caffe's, and as JSON."""

import pytest
import torch
from small_pictures import encoded, noise
from torchvision.transforms import v2

from vggbench.images.pixels import decode
from vggbench.images.preprocessing import INPUTS, Input


def test_torchvisions_input_equals_torchvision() -> None:
    image = decode(encoded(noise()))
    steps = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    torch.testing.assert_close(INPUTS["torchvision"].normalise(image[None])[0], steps(image), atol=1e-6, rtol=0)


def test_caffes_input_is_bgr_minus_mean() -> None:
    red = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    red[:, 0] = 200
    found = INPUTS["caffe"].normalise(red).flatten().tolist()
    assert found == pytest.approx([-103.939, -116.779, 200 - 123.68], abs=1e-4)


@pytest.mark.parametrize("name", list(INPUTS))
def test_inputs_travel_as_json(name: str) -> None:
    assert Input.from_dict(INPUTS[name].as_dict()) == INPUTS[name]


@pytest.mark.parametrize("change", [{"channels": "GBR"}, {"range": 2}, {"mean": [1, 2]}, {"std": [1, 0, 1]}])
def test_a_broken_input_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not an input"):
        Input.from_dict(INPUTS["caffe"].as_dict() | change)
