"""
Writes convolutions.safetensors, the state dictionary of a small network of PyTorch as `safetensors.torch.save_file` writes it, and
convolutions.json: pictures (samples, height, width, channels) and what the network answers. Run with PyTorch 1.13 (Debian 12):
/usr/bin/python3 test/import-oracle/convolutions.py
"""
import json, struct
from pathlib import Path
import torch
from torch import nn

torch.manual_seed(7)
torch.set_num_threads(1)
HEIGHT, WIDTH, CHANNELS, SAMPLES = 9, 7, 3, 20

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(CHANNELS, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 5, 2, stride=2), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(5 * 2 * 1, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3),
        )

    def forward(self, x):
        return self.classifier(self.features(x))

network = Network()
pixels = torch.randint(0, 256, (SAMPLES, CHANNELS, HEIGHT, WIDTH))
with torch.no_grad():
    for parameter in network.parameters():
        parameter.mul_(2).add_(0.1 * torch.randn_like(parameter))
    for _ in range(10):
        network(pixels / 255)  # running statistics
    network.eval()
    answers = torch.softmax(network(pixels / 255), dim=1)

folder = Path(__file__).parent
TYPES = {torch.float32: 'F32', torch.int64: 'I64'}
header, body = {'__metadata__': {'format': 'pt'}}, b''
for name, tensor in sorted(network.state_dict().items()):
    raw = tensor.numpy().tobytes()
    header[name] = {'dtype': TYPES[tensor.dtype], 'shape': list(tensor.shape), 'data_offsets': [len(body), len(body) + len(raw)]}
    body += raw
text = json.dumps(header).encode()
text += b' ' * (-len(text) % 8)
(folder / 'convolutions.safetensors').write_bytes(struct.pack('<Q', len(text)) + text + body)
(folder / 'convolutions.json').write_text(json.dumps({
    'torch': torch.__version__,
    'pixels': pixels.permute(0, 2, 3, 1).reshape(SAMPLES, -1).tolist(),
    'answers': answers.tolist(),
}) + '\n')
print(answers[:4])
