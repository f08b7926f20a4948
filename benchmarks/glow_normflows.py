"""The GLOW of normflows in PyTorch, for benchmarks/glow.py; nothing of this package is imported.

Its base has a learned normal for every part that is factored out, where GLOW conditions on the
rest: it computes less by that convolution.
"""

import normflows as nf
import torch
from glow_side import random_images, serve, settings

CONFIG = settings()
if CONFIG["num_threads"]:
    torch.set_num_threads(CONFIG["num_threads"])


def build():
    torch.manual_seed(0)
    side, channels, num_levels = CONFIG["side"], CONFIG["channels"], CONFIG["num_levels"]
    bases, merges, flows = [], [], []
    for i in range(num_levels):  # latent to image, as normflows has it
        blocks = [
            nf.flows.GlowBlock(
                channels * 2 ** (num_levels + 1 - i),
                CONFIG["width"],
                split_mode="channel",
                scale=True,
            )
            for _ in range(CONFIG["num_steps"])
        ]
        flows.append([*blocks, nf.flows.Squeeze()])
        here = side // 2 ** (num_levels - i)
        if i > 0:
            merges.append(nf.flows.Merge())
        factored = channels * 2 ** (num_levels + (1 if i == 0 else 0) - i)
        bases.append(nf.distributions.DiagGaussian((factored, here, here)))
    model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    images = torch.from_numpy(random_images(CONFIG)).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        model.log_prob(images, None)  # its actnorms take what they see first
    optimizer = torch.optim.Adamax(model.parameters(), lr=1e-3)
    size = channels * side**2

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss = -model.log_prob(images, None).mean() / size
        loss.backward()
        optimizer.step()
        return loss.item()

    def log_prob():
        with torch.no_grad():
            return model.log_prob(images, None).sum().item()

    def sample():
        with torch.no_grad():
            return model.sample(CONFIG["batch_size"])[0].sum().item()

    return {"train": train, "log_prob": log_prob, "sample": sample}


serve(f"torch {torch.__version__}, normflows", build)
