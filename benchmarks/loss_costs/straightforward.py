"""The shortest straightforward PyTorch code for every loss, to time the library's against.

Written from the equations alone. Each function takes the loss's tensors and, by name with "_" for ".", the state of the
library's module, and returns what that module returns.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Between outputs.


def kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    log_q, log_p = F.log_softmax(student / temperature, -1), F.log_softmax(teacher / temperature, -1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1) * temperature**2


def reverse_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    return kl_divergence(teacher, student, temperature)


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    p = F.softmax(teacher / temperature, -1)
    return F.cross_entropy(student / temperature, p, reduction="none") * temperature**2


def generalized_jsd(student: Tensor, teacher: Tensor, beta: float = 0.5, temperature: float = 1.0) -> Tensor:
    q, p = F.softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)
    mixed = beta * p + (1 - beta) * q
    value = beta * p * (p / mixed).log() + (1 - beta) * q * (q / mixed).log()
    return value.sum(-1) * temperature**2


def total_variation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    q, p = F.softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)
    return (p - q).abs().sum(-1) / 2 * temperature**2


def cross_entropy(student: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    return F.cross_entropy(student, target, class_weights, reduction="none")


def weighted_soft_label(student: Tensor, teacher: Tensor, target: Tensor, temperature: float = 2.0) -> Tensor:
    with torch.no_grad():
        ratio = F.cross_entropy(student, target, reduction="none") / F.cross_entropy(teacher, target, reduction="none")
    return (1 - (-ratio).exp()) * soft_cross_entropy(student, teacher, temperature)


def decoupled_kd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    chosen = F.one_hot(target, student.shape[-1])

    def apart(logits: Tensor) -> tuple[Tensor, Tensor]:
        of_target = (F.softmax(logits, -1) * chosen).sum(-1, keepdim=True)
        return torch.cat([of_target, 1 - of_target], -1).log(), F.log_softmax(logits - 1000 * chosen, -1)

    (binary_q, among_q), (binary_p, among_p) = apart(student / temperature), apart(teacher / temperature)
    of_target = F.kl_div(binary_q, binary_p, reduction="none", log_target=True).sum(-1)
    of_others = F.kl_div(among_q, among_p, reduction="none", log_target=True).sum(-1)
    return (alpha * of_target + beta * of_others) * temperature**2


def dist(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    def distance(first: Tensor, second: Tensor) -> Tensor:
        first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
        return (1 - F.cosine_similarity(first, second, dim=1)).mean()

    q, p = F.softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)
    return (distance(q, p) + distance(q.T, p.T)) * temperature**2


def multi_level_logits(student: Tensor, teacher: Tensor) -> Tensor:
    rows, classes = student.shape
    value = torch.zeros((), dtype=student.dtype)
    for temperature in (2.0, 3.0, 4.0, 5.0, 6.0):
        q, p = F.softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
        value = value + F.kl_div(q.log(), p, reduction="sum") / rows * temperature**2
        value = value + (p @ p.T - q @ q.T).square().sum() / rows + (p.T @ p - q.T @ q).square().sum() / classes
    return value


def binary_cross_entropy(student: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(student, target.float(), reduction="none").sum(-1)


def binary_kd(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    student, teacher = student / temperature, teacher / temperature
    p = teacher.sigmoid()
    cross = F.binary_cross_entropy_with_logits(student, p, reduction="none")
    own = F.binary_cross_entropy_with_logits(teacher, p, reduction="none")
    return (cross - own).sum(-1) * temperature**2


def mse_logits(student: Tensor, teacher: Tensor) -> Tensor:
    return F.mse_loss(student, teacher, reduction="none").mean(-1)


def mse_regression(student: Tensor, teacher: Tensor, target: Tensor, margin: float = 0.0) -> Tensor:
    of_student, of_teacher = mse_logits(student, target), mse_logits(teacher, target)
    return torch.where(of_student + margin > of_teacher, of_student, 0)


def squared_error(student: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(student, target, reduction="none")


def pinball(student: Tensor, target: Tensor, quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)) -> Tensor:
    error, level = target[..., None] - student, torch.tensor(quantiles)
    return torch.maximum(level * error, (level - 1) * error).mean(-1)


# Between features.


def projected(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(features, weight[:, :, None, None], bias)


def hint_mse(student: Tensor, teacher: Tensor, projection_weight: Tensor, projection_bias: Tensor) -> Tensor:
    student = projected(student, projection_weight, projection_bias)
    return F.mse_loss(student, teacher, reduction="none").mean((1, 2, 3))


def activation_boundary(student: Tensor, teacher: Tensor, projection_weight: Tensor, projection_bias: Tensor) -> Tensor:
    student, on = projected(student, projection_weight, projection_bias), teacher > 0
    return torch.where(on, F.relu(1 - student), F.relu(1 + student)).square().mean((1, 2, 3))


def sparsity_pattern(student: Tensor, teacher: Tensor, projection_weight: Tensor, projection_bias: Tensor) -> Tensor:
    student, on = projected(student, projection_weight, projection_bias), (teacher > 0).to(teacher.dtype)
    return F.binary_cross_entropy_with_logits(student, on, reduction="none").mean((1, 2, 3))


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = (F.normalize(maps.square().mean(1).flatten(1), dim=1) for maps in (student, teacher))
    return (student - teacher).square().mean(1)


def gradient_attention(
    student: Tensor, teacher: Tensor, student_logits: Tensor, teacher_logits: Tensor, target: Tensor
) -> Tensor:
    of_student = F.cross_entropy(student_logits, target, reduction="sum")
    of_teacher = F.cross_entropy(teacher_logits, target, reduction="sum")
    (ours,) = torch.autograd.grad(of_student, student, create_graph=True)
    (theirs,) = torch.autograd.grad(of_teacher, teacher)
    return (ours - theirs).square().sum((1, 2, 3))


def nst_mmd(student: Tensor, teacher: Tensor, kernel: str = "polynomial") -> Tensor:
    student, teacher = F.normalize(student.flatten(2), dim=2), F.normalize(teacher.flatten(2), dim=2)
    variance = torch.cdist(teacher, teacher).square().mean((1, 2), keepdim=True) if kernel == "gaussian" else None

    def similarity(first: Tensor, second: Tensor) -> Tensor:
        if variance is not None:
            return (-torch.cdist(first, second).square() / (2 * variance)).exp().mean((1, 2))
        products = first @ second.mT
        return (products if kernel == "linear" else products.square()).mean((1, 2))

    return similarity(teacher, teacher) + similarity(student, student) - 2 * similarity(student, teacher)


def channel_wise(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    return kl_divergence(student.flatten(2), teacher.flatten(2), temperature).mean(1)


def overhaul(
    student: Tensor, teacher: Tensor, margin: Tensor, projection_weight: Tensor, projection_bias: Tensor
) -> Tensor:
    student = projected(student, projection_weight, projection_bias)
    teacher = torch.maximum(teacher, margin[:, None, None])
    return ((student - teacher).square() * ((student > teacher) | (teacher > 0))).mean((1, 2, 3))


def review_kd(student_1: Tensor, teacher_1: Tensor, student_2: Tensor, teacher_2: Tensor, **state: Tensor) -> Tensor:
    def convolved(name: str, maps: Tensor, padding: int = 0) -> Tensor:
        return F.conv2d(maps, state[f"{name}_weight"], state[f"{name}_bias"], padding=padding)

    second = convolved("narrow_1", student_2)
    first, deeper = convolved("narrow_0", student_1), F.interpolate(second, size=student_1.shape[2:])
    weights = convolved("attention_0", torch.cat([first, deeper], 1)).sigmoid()
    first = first * weights[:, :1] + deeper * weights[:, 1:]
    levels = (
        (convolved("widen_0", first, 1), teacher_1),
        (convolved("widen_1", second, 1), teacher_2),
    )
    return sum((pyramid(*level) for level in levels), start=torch.zeros(len(student_1), dtype=student_1.dtype))


def pyramid(student: Tensor, teacher: Tensor) -> Tensor:
    value, weight, total = (student - teacher).square().mean((1, 2, 3)), 1.0, 1.0
    for size in (4, 2, 1):
        if size < student.shape[2]:
            weight, total = weight / 2, total + weight / 2
            pooled = F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)
            value = value + weight * (pooled[0] - pooled[1]).square().mean((1, 2, 3))
    return value / total


def variational_information(student: Tensor, teacher: Tensor, alpha: Tensor, **state: Tensor) -> Tensor:
    for layer in range(3):
        student = F.relu(student) if layer else student
        student = projected(student, state[f"mean_{layer}_weight"], state[f"mean_{layer}_bias"])
    variance = (F.softplus(alpha) + 1e-5)[:, None, None]
    return ((teacher - student).square() / variance + variance.log()).mean((1, 2, 3)) / 2


def factor_transfer(student: Tensor, teacher: Tensor, **state: Tensor) -> Tensor:
    def run(name: str, maps: Tensor) -> Tensor:
        for layer in range(3):
            weight, bias = state[f"{name}_{layer}_weight"], state[f"{name}_{layer}_bias"]
            maps = F.leaky_relu(F.conv2d(maps, weight, bias, padding=1), 0.1)
        return F.normalize(maps.flatten(1), dim=1)

    return (run("translator", student) - run("paraphraser", teacher).detach()).abs().mean(1)


def weight_match(student: Tensor, teacher: Tensor) -> Tensor:
    return F.mse_loss(student, teacher).reshape(1)


# Between layers and between samples.


def flow_of_solution(
    student_first: Tensor, student_second: Tensor, teacher_first: Tensor, teacher_second: Tensor
) -> Tensor:
    def flow(first: Tensor, second: Tensor) -> Tensor:
        return first.flatten(2) @ second.flatten(2).mT / first[0, 0].numel()

    difference = flow(student_first, student_second) - flow(teacher_first, teacher_second)
    return difference.square().mean((1, 2))


def inter_channel_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = student.flatten(2), teacher.flatten(2)
    difference = F.normalize(student @ student.mT, dim=2) - F.normalize(teacher @ teacher.mT, dim=2)
    return difference.square().sum(2).mean(1)


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = F.pdist(student), F.pdist(teacher)
    return F.smooth_l1_loss(student / student.mean(), teacher / teacher.mean())


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = (F.normalize(rows - rows[:, None], dim=2) for rows in (student, teacher))
    total, rows = F.smooth_l1_loss(student @ student.mT, teacher @ teacher.mT, reduction="sum"), len(student)
    return total / (rows * (rows - 1) * (rows - 2))


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    return F.mse_loss(F.normalize(student @ student.T), F.normalize(teacher @ teacher.T))


def correlation_congruence(student: Tensor, teacher: Tensor, gamma: float = 0.4) -> Tensor:
    def correlations(rows: Tensor) -> Tensor:
        products = 2 * gamma * F.normalize(rows) @ F.normalize(rows).T
        return math.exp(-2 * gamma) * (1 + products + products.square() / 2)

    return F.mse_loss(correlations(student), correlations(teacher))


def probabilistic_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    def neighbours(rows: Tensor) -> Tensor:
        rows, count = F.normalize(rows), len(rows)
        # All but the diagonal.
        kernel = ((rows @ rows.T + 1) / 2).flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
        return kernel / kernel.sum(1, keepdim=True)

    return F.kl_div(neighbours(student).log(), neighbours(teacher), reduction="batchmean")


def crd(student: Tensor, teacher: Tensor, row: Tensor, **state: Tensor) -> Tensor:
    negatives, temperature = len(state["bank_seen"]), 0.1
    student = F.normalize(F.linear(student, state["student_embedding_weight"], state["student_embedding_bias"]))
    teacher = F.normalize(F.linear(teacher, state["teacher_embedding_weight"], state["teacher_embedding_bias"]))
    offset = math.log(negatives) + 1 / (2 * student.shape[1] * temperature**2)
    others = row[:, None] != torch.arange(negatives)
    value = -F.logsigmoid((student * teacher).sum(1) / temperature - offset)
    for rows, bank in ((student, state["bank_teacher"]), (teacher, state["bank_student"])):
        scores = F.logsigmoid(offset - rows @ bank.to(rows.dtype).T / temperature)
        value = value - negatives * (scores * others).sum(1) / others.sum(1)
    return value.mean()


# Between transformers.


def hidden_states_mse(student: Tensor, teacher: Tensor) -> Tensor:
    return F.mse_loss(student, teacher, reduction="none").mean(-1)


def cosine_hidden(student: Tensor, teacher: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(student, teacher, dim=-1)


def patient_kd(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = F.normalize(student[:, 0], dim=1), F.normalize(teacher[:, 0], dim=1)
    return F.mse_loss(student, teacher, reduction="none").mean(1)


def heads_apart(projection: Tensor, heads: int) -> Tensor:
    return projection.unflatten(2, (heads, -1)).transpose(1, 2)


def attention_scores(
    student_query: Tensor,
    student_key: Tensor,
    teacher_query: Tensor,
    teacher_key: Tensor,
    student_heads: int,
    on: str = "scores",
) -> Tensor:
    def scores(query: Tensor, key: Tensor) -> Tensor:
        query, key = heads_apart(query, student_heads), heads_apart(key, student_heads)
        return query @ key.mT / math.sqrt(query.shape[3])

    student, teacher = scores(student_query, student_key), scores(teacher_query, teacher_key)
    if on == "scores":
        return (student - teacher).square().mean((1, 2, 3))
    return kl_divergence(student, teacher).mean((1, 2))


def value_relation(student_value: Tensor, teacher_value: Tensor, relation_heads: int) -> Tensor:
    student, teacher = heads_apart(student_value, relation_heads), heads_apart(teacher_value, relation_heads)
    student, teacher = (heads @ heads.mT / math.sqrt(heads.shape[3]) for heads in (student, teacher))
    return kl_divergence(student, teacher).mean((1, 2))
