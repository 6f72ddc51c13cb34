"""SliDe's encoder as its equations are written: triplet by triplet, with angles and torsions about each axis."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from molspectra.encoders import GET, AtomFeatures


def explicit_get(encoder: GET, z: Tensor, pos: Tensor, batch: Tensor) -> AtomFeatures:
    """Compute the features that `encoder` should return, from its weights. It has no vector norm."""
    num_atoms, r_c = len(z), encoder.cutoff
    near = (batch[:, None] == batch[None]) & (torch.cdist(pos, pos) < r_c) & ~torch.eye(num_atoms, dtype=torch.bool)
    edges = [(j, i) for i in range(num_atoms) for j in range(num_atoms) if near[i, j]]
    number = {edge: place for place, edge in enumerate(edges)}
    source, target = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t()
    r = torch.linalg.vector_norm(pos[source] - pos[target], dim=1)
    damping = 0.5 * (torch.cos(math.pi * r / r_c) + 1)
    t = (r / r_c)[:, None]
    frequencies = encoder.edge_basis.frequencies
    rho = (1 / t - 28 * t**5 + 48 * t**6 - 21 * t**7) * torch.sin(frequencies * t)
    phi = encoder.radial_basis(r)

    def gather(messages: Tensor, to: Tensor, size: int) -> Tensor:
        return messages.new_zeros(size, *messages.shape[1:]).index_add(0, to, messages)

    triplets = []
    for j, i in edges:
        triplets += [(number[k, j], number[j, i], k, j, i) for k in range(num_atoms) if (k, j) in number and k != i]
    inner, outer = (torch.tensor([each[column] for each in triplets], dtype=torch.int64) for column in (0, 1))
    bases = [explicit_bases(encoder, pos, edges, each[2:]) for each in triplets]
    angle_basis, torsion_basis = (torch.stack(basis) for basis in zip(*bases, strict=True))

    s = encoder.embedding(z)
    around = encoder.neighbor_embedding(z)[source] * encoder.neighbor_filter(phi) * damping[:, None]
    x = encoder.combine(torch.cat([s, gather(around, target, num_atoms)], dim=1))
    vec = x.new_zeros(num_atoms, 3, x.shape[1])
    embed = encoder.edge_embedding

    def embedded(basis: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
        return F.silu(embed.combine(torch.cat([s[sources], s[targets], F.silu(embed.radial(basis))], dim=1)))

    state = embedded(phi, source, target)
    atoms = torch.arange(num_atoms)
    at_zero = encoder.radial_basis(pos.new_zeros(num_atoms))
    loops = embed.gate(at_zero) * embedded(at_zero, atoms, atoms)

    source, target = torch.cat([source, atoms]), torch.cat([target, atoms])
    damping = torch.cat([damping, pos.new_ones(num_atoms)])[:, None]
    u = pos[source] - pos[target]
    u = u / torch.cat([r, pos.new_ones(num_atoms)])[:, None]
    count = gather(damping, target, num_atoms) if encoder.normalize else 1.0
    for update, layer in zip(encoder.edge_updates, encoder.layers, strict=True):
        message = F.silu(update.down(F.silu(update.incoming(state)) * update.radial(rho)))
        message = message[inner] * update.angle(angle_basis) * update.torsion(torsion_basis)
        q = F.silu(update.own(state)) + F.silu(update.up(gather(message, outer, len(edges))))
        q = residual(update.before_skip, q)
        q = F.silu(update.skip(q)) + state
        for block in update.after_skip:
            q = residual(block, q)
        state, output = update.state_norm(q), update.out_norm(update.out_gate(rho) * q)

        f = torch.cat([output, loops])
        heads = layer.num_heads
        h = layer.norm(x)
        projections = layer.q_proj, layer.k_proj, layer.v_proj
        query, key, value = (proj(h).reshape(num_atoms, heads, -1) for proj in projections)
        dk, dv = (F.silu(proj(f)).reshape(len(f), heads, -1) for proj in (layer.dk_proj, layer.dv_proj))
        a = F.silu(torch.einsum("ehd,ehd,ehd->eh", query[target], key[source], dk))
        a = (a.softmax(1) if encoder.normalize else a) * damping
        s0, s1, s2 = (value[source] * dv).chunk(3, dim=2)
        gathered = gather((a[:, :, None] * s0).flatten(1), target, num_atoms) / count
        vector_message = vec[source] * s1.flatten(1)[:, None] + u[:, :, None] * s2.flatten(1)[:, None]
        gathered_vectors = gather(damping[:, :, None] * vector_message, target, num_atoms)
        gathered_vectors = gathered_vectors / (count[:, None] if encoder.normalize else 1.0)
        o1, o2, o3 = layer.o_proj(gathered).chunk(3, dim=1)
        p1, p2, p3 = layer.vec_proj(vec).chunk(3, dim=2)
        x = x + torch.einsum("nxc,nxc->nc", p1, p2) * o2 + o3
        vec = vec + p3 * o1[:, None] + gathered_vectors
    return AtomFeatures(encoder.out_norm(x), vec)


def residual(block: torch.nn.Module, q: Tensor) -> Tensor:
    """Compute q + SiLU(V' SiLU(V q))."""
    return q + F.silu(block.second(F.silu(block.first(q))))


def explicit_bases(
    encoder: GET, pos: Tensor, edges: list[tuple[int, int]], triplet: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Return the bases of the angle and of the torsion of one triplet k → j → i."""
    k, j, i = triplet
    r = torch.linalg.vector_norm(pos[k] - pos[j])
    theta, _ = spherical(pos, k, j, i)
    m1, m2 = explicit_mean_torsion(pos, edges, triplet, encoder.cutoff)
    y = [math.sqrt(1 / (4 * math.pi)), math.sqrt(3 / (4 * math.pi)) * torch.cos(theta)]
    y.append(math.sqrt(5 / (16 * math.pi)) * (3 * torch.cos(theta) ** 2 - 1))
    others = -math.sqrt(3 / (4 * math.pi)) * m1, -math.sqrt(15 / (4 * math.pi)) * torch.cos(theta) * m1
    bessel = encoder.triplet_basis.bessel
    radial = [bessel.norms[order] * closed_form(order, bessel.zeros[order] * r / encoder.cutoff) for order in range(3)]
    harmonics = [*zip((0, 1, 2), y, strict=True), (1, others[0]), (2, others[1])]
    harmonics.append((2, math.sqrt(15 / (16 * math.pi)) * m2))
    basis = torch.stack([radial[order] * harmonic for order, harmonic in harmonics])
    return basis[:3].flatten(), basis.flatten()


def explicit_mean_torsion(
    pos: Tensor, edges: list[tuple[int, int]], triplet: tuple[int, int, int], cutoff: float
) -> tuple[Tensor, Tensor]:
    """Return the means of sinᵐθ_k sinᵐθ_q cos mφ, m = 1 and 2, over the other neighbors q of j."""
    k, j, i = triplet
    theta, azimuth = spherical(pos, k, j, i)
    total, sums = pos.new_ones(()), [pos.new_zeros(()), pos.new_zeros(())]
    for q, center in edges:
        if center != j or q in (k, i):
            continue
        other_theta, other_azimuth = spherical(pos, q, j, i)
        weight = 0.5 * (torch.cos(math.pi * torch.linalg.vector_norm(pos[q] - pos[j]) / cutoff) + 1)
        total = total + weight
        for m in (1, 2):
            sines = (torch.sin(theta) * torch.sin(other_theta)) ** m
            sums[m - 1] = sums[m - 1] + weight * sines * torch.cos(m * (other_azimuth - azimuth))
    return sums[0] / total, sums[1] / total


def spherical(pos: Tensor, k: int, j: int, i: int) -> tuple[Tensor, Tensor]:
    """Return the angle of k with the axis j → i, and the angle about that axis from a fixed direction."""
    axis = F.normalize(pos[i] - pos[j], dim=0)
    fixed = torch.tensor([0.3, -0.5, 0.8], dtype=pos.dtype)
    zero = F.normalize(torch.linalg.cross(axis, fixed), dim=0)
    quarter = torch.linalg.cross(axis, zero)
    vector = pos[k] - pos[j]
    normal = torch.linalg.vector_norm(torch.linalg.cross(axis, vector))
    return torch.atan2(normal, vector @ axis), torch.atan2(vector @ quarter, vector @ zero)


def explicit_nearest_torsion(pos: Tensor, edges: list[tuple[int, int]], triplet: tuple[int, int, int]) -> float:
    """Return the smallest right-handed rotation about j → i from k to another neighbor of j, 2π if there is none."""
    k, j, i = triplet
    _, azimuth = spherical(pos, k, j, i)
    rotations = [
        float((spherical(pos, q, j, i)[1] - azimuth) % (2 * math.pi))
        for q, center in edges
        if center == j and q not in (k, i)
    ]
    return min(rotations, default=2 * math.pi)


def closed_form(order: int, x: Tensor) -> Tensor:
    """Return the spherical Bessel function j_l(x) for x > 0."""
    if order == 0:
        return torch.sin(x) / x
    if order == 1:
        return torch.sin(x) / x**2 - torch.cos(x) / x
    return (3 / x**3 - 1 / x) * torch.sin(x) - 3 * torch.cos(x) / x**2
