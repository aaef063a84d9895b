"""One of two processes that train together, with and without a watch."""

import torch
from torch import nn

from ris_pipeline.watch import Watch


def two_processes(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    states = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        watch = Watch(model, optimizer, folder, log=lambda line: None) if watched else None
        generator = torch.Generator().manual_seed(rank)
        for epoch in range(2):
            for _ in range(8):
                x = torch.randn(4, 3, generator=generator)
                optimizer.zero_grad()
                loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
                if watch is not None:
                    watch.begin(loss, batch=x)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 100.0)
                optimizer.step()
            if watch is not None:
                watch.epoch(train=1.0, validation=2.0 / 7 + 1e-7 * epoch)
        states.append([p.detach().clone() for p in model.parameters()])
        if watch is not None:
            watch.close()
            assert (watch.alarms, watch.ended) == ([], "closed")
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    torch.distributed.destroy_process_group()
