import torch
import torch.nn.functional as F

from limbeck.functional import probabilistic_transfer
from losses.inputs import draw


def test_neighbours_are_those_of_torchs_divergence() -> None:
    student, teacher = draw(7, 5), draw(7, 4, seed=1)
    others = ~torch.eye(7, dtype=torch.bool)
    shares = []
    for rows in (student, teacher):
        kernel = (F.cosine_similarity(rows[:, None], rows[None], dim=-1) + 1) / 2
        kernel = kernel[others].view(7, 6)
        shares.append(kernel / kernel.sum(dim=1, keepdim=True))
    q, p = shares
    torch.testing.assert_close(probabilistic_transfer(student, teacher), F.kl_div(q.log(), p, reduction="batchmean"))


def test_opposite_rows_are_finite() -> None:
    student = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [1.0, 2.0], [-2.0, -4.0]], requires_grad=True)
    teacher = torch.ones(4, 3)
    for ours, theirs in ((student, teacher), (teacher + 0 * student.sum(), student.detach())):
        value = probabilistic_transfer(ours, theirs)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.isfinite()
        assert value > 0
        assert gradient.isfinite().all()
