"""Dense linear algebra: factorizations, solves, inverses, decompositions.

Source: Blackford and Dongarra, "Installation guide for LAPACK", LAPACK Working Note 41 (1999), appendix C: the
multiplications (divisions among them) and additions of each routine, as polynomials in the sizes. Every addition takes
the result of a multiplication, so that the MACs are the additions; `strict` counts both. Permuting rows is free.

Decompositions that iterate (singular values, eigenvalues) have no exact count: theirs are the leading terms in
Golub and Van Loan, "Matrix Computations", 4th edition (2013), sections 7.5.6, 8.3.3 and figure 8.6.1, of which one half
are MACs. They are estimates.

Least squares are counted at full rank, without the norms by which `gelsy` chooses its columns. A matrix exponential has
no rule: how many products it takes depends on the norm of the matrix.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from torch import Tensor, broadcast_shapes

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.registry import Record, ops, rule
from ulsam_cost.tensors import first_tensor, tensors_of

COMPLEX_MULTIPLICATION, COMPLEX_ADDITION = 6, 2  # in real operations
# Functions that want no vectors, for which PyTorch asks all the same where a mode looks on.
VALUES_ALONE = frozenset(
    {
        *("linalg_svdvals", "linalg_eigvals", "linalg_eigvalsh"),
        *("linalg_matrix_rank", "linalg_cond", "linalg_matrix_norm", "linalg_norm", "norm", "nuclear_norm"),
    }
)


class Work(NamedTuple):
    """The multiplications and additions of a routine."""

    multiplications: int
    additions: int

    def then(self, other: "Work") -> "Work":
        """The work of this routine and another."""
        return Work(self.multiplications + other.multiplications, self.additions + other.additions)


def cholesky_factor(n: int) -> Work:
    """POTRF: n^3/6 + n^2/2 + n/3 and n^3/6 - n/6."""
    return Work((n**3 + 3 * n**2 + 2 * n) // 6, (n**3 - n) // 6)


def cholesky_inverted(n: int) -> Work:
    """POTRI: n^3/3 + n^2 + 2n/3 and n^3/3 - n^2/2 + n/6."""
    return Work((n**3 + 3 * n**2 + 2 * n) // 3, (2 * n**3 - 3 * n**2 + n) // 6)


def triangular_solved(n: int, columns: int, *, unit: bool = False) -> Work:
    """TRSM, a column: n(n + 1)/2 (without divisions by a diagonal of ones n(n - 1)/2) and n(n - 1)/2."""
    pairs = columns * n * (n - 1) // 2
    return Work(pairs if unit else pairs + columns * n, pairs)


def lu_factor(m: int, n: int) -> Work:
    """GETRF, m >= n: mn^2/2 - n^3/6 + mn/2 - n^2/2 + 2n/3 and mn^2/2 - n^3/6 - mn/2 + n/6."""
    m, n = max(m, n), min(m, n)
    cubes = 3 * m * n**2 - n**3
    return Work((cubes + 3 * m * n - 3 * n**2 + 4 * n) // 6, (cubes - 3 * m * n + n) // 6)


def lu_inverted(n: int) -> Work:
    """GETRI: 2n^3/3 + n^2/2 + 5n/6 and 2n^3/3 - 3n^2/2 + 5n/6."""
    return Work((4 * n**3 + 3 * n**2 + 5 * n) // 6, (4 * n**3 - 9 * n**2 + 5 * n) // 6)


def lu_solved(n: int, columns: int) -> Work:
    """GETRS, a column: n^2 and n^2 - n."""
    return Work(columns * n**2, columns * (n**2 - n))


def qr_factor(m: int, n: int) -> Work:
    """GEQRF, m >= n: mn^2 - n^3/3 + mn + n^2/2 + 23n/6 and mn^2 - n^3/3 + n^2/2 + 5n/6; m < n: see below."""
    if m >= n:
        cubes = 6 * m * n**2 - 2 * n**3 + 3 * n**2
        return Work((cubes + 6 * m * n + 23 * n) // 6, (cubes + 5 * n) // 6)
    # nm^2 - m^3/3 - m^2/2 + 2mn + 23m/6 and nm^2 - m^3/3 - m^2/2 + mn + 5m/6
    cubes = 6 * n * m**2 - 2 * m**3 - 3 * m**2
    return Work((cubes + 12 * m * n + 23 * m) // 6, (cubes + 6 * m * n + 5 * m) // 6)


def q_formed(m: int, n: int, k: int) -> Work:
    """ORGQR, n columns from k reflectors: 2mnk - (m + n)k^2 + 2k^3/3, + 2nk - k^2 - 5k/3 or + nk - mk + k/3."""
    cubes = 6 * m * n * k - 3 * (m + n) * k**2 + 2 * k**3
    return Work((cubes + 6 * n * k - 3 * k**2 - 5 * k) // 3, (cubes + 3 * n * k - 3 * m * k + k) // 3)


def q_applied(m: int, n: int, k: int, *, left: bool) -> Work:
    """ORMQR on [m, n], from the left: 2mnk - nk^2 + 2nk and 2mnk - nk^2 + nk; from the right: see below."""
    if left:
        return Work(2 * m * n * k - n * k**2 + 2 * n * k, 2 * m * n * k - n * k**2 + n * k)
    # 2mnk - mk^2 + mk + nk - k^2/2 + k/2 and 2mnk - mk^2 + mk
    additions = 2 * m * n * k - m * k**2 + m * k
    return Work(additions + n * k - (k**2 - k) // 2, additions)


def _leading(operations: int) -> Work:
    """Half multiplications, half additions."""
    return Work(operations - operations // 2, operations // 2)


def singular_values(m: int, n: int, *, vectors: bool, full: bool = False) -> Work:
    """Golub-Reinsch or R-SVD, m >= n, whichever takes less.

    In operations: values 4mn^2 - 4n^3/3 or 2mn^2 + 2n^3; with both thin bases 14mn^2 + 8n^3 or 6mn^2 + 20n^3; with
    both square ones 4m^2n + 8mn^2 + 9n^3 or 4m^2n + 22n^3.
    """
    m, n = max(m, n), min(m, n)
    if not vectors:
        return _leading(min(4 * m * n**2 - 4 * n**3 // 3, 2 * m * n**2 + 2 * n**3))
    if full:
        return _leading(4 * m**2 * n + min(8 * m * n**2 + 9 * n**3, 22 * n**3))
    return _leading(min(14 * m * n**2 + 8 * n**3, 6 * m * n**2 + 20 * n**3))


def symmetric_eigenvalues(n: int, *, vectors: bool) -> Work:
    """Symmetric QR, in operations: 4n^3/3, with vectors 9n^3."""
    return _leading(9 * n**3 if vectors else 4 * n**3 // 3)


def eigenvalues(n: int, *, vectors: bool) -> Work:
    """Unsymmetric QR, in operations: 10n^3, with vectors 25n^3."""
    return _leading((25 if vectors else 10) * n**3)


def _solving(names: str, work_of: Callable[..., Work], *, once: bool = False) -> None:
    """Register a rule for operators; their work is that of each matrix of the batch to which operands broadcast.

    With `once` it is that of each matrix of the first operand, which is not worked on again for other operands.
    """

    def solve(record: Record, out: Any, a: Tensor, *others: Any, **options: Any) -> None:
        operands, result = tuple(tensors_of(a, others)), first_tensor(out)
        if record.operator in VALUES_ALONE and not a.requires_grad:
            work = work_of(a, *others, **options, vectors=False)
        else:
            work = work_of(a, *others, **options)
        matrices = max(prod(tensor.shape[:-2]) for tensor in ((a,) if once else (result, *operands)))
        multiplication, addition = (COMPLEX_MULTIPLICATION, COMPLEX_ADDITION) if a.is_complex() else (1, 1)
        record(
            OpKind.SOLVE, result.shape, macs=matrices * work.additions,
            reads=sum(operand.numel() for operand in operands),
            writes=sum(tensor.numel() for tensor in tensors_of(out)), params=operands,
            operations=matrices * (multiplication * work.multiplications + addition * work.additions),
        )  # fmt: skip

    rule(ops(names))(solve)


def _sizes(matrix: Tensor) -> tuple[int, int]:
    return matrix.shape[-2], matrix.shape[-1]


def _sides(a: Tensor, b: Tensor, *, left: bool) -> tuple[int, int]:
    """The size of a system, and for how many columns (or rows, from the right) it is solved."""
    return a.shape[-1], b.shape[-1] if left else b.shape[-2]


def _lu_solve_after_factor(a: Tensor, b: Tensor, *, left: bool = True, **_: Any) -> Work:
    n, batch = a.shape[-1], a.shape[:-2]
    if b.dim() == 1 or b.shape == a.shape[:-1]:  # a vector for each matrix
        return lu_factor(n, n).then(lu_solved(n, 1))
    columns = _sides(a, b, left=left)[1]
    times = prod(broadcast_shapes(batch, b.shape[:-2])) // max(1, prod(batch))
    return lu_factor(n, n).then(lu_solved(n, times * columns))


def _lu_solve(lu: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, **_: Any) -> Work:
    return lu_solved(*_sides(lu, b, left=left))


def _triangular(a: Tensor, b: Tensor, *, left: bool = True, unitriangular: bool = False, **_: Any) -> Work:
    return triangular_solved(*_sides(a, b, left=left), unit=unitriangular)


def _old_triangular(b: Tensor, a: Tensor, upper: bool = True, transpose: bool = False, unit: bool = False) -> Work:
    return triangular_solved(a.shape[-1], b.shape[-1], unit=unit)


def _cholesky_solve(b: Tensor, factor: Tensor, *_: Any, **__: Any) -> Work:
    n, columns = factor.shape[-1], b.shape[-1]
    return triangular_solved(n, columns).then(triangular_solved(n, columns))


def _qr(a: Tensor, mode: str = "reduced") -> Work:
    m, n = a.shape[-2:]
    k = min(m, n)
    factor = qr_factor(m, n)
    return factor if mode == "r" else factor.then(q_formed(m, m if mode == "complete" else k, k))


def _apply_q(a: Tensor, tau: Tensor, other: Tensor, left: bool = True, *_: Any) -> Work:
    return q_applied(*_sizes(other), tau.shape[-1], left=left)


def least_squares(m: int, n: int, columns: int) -> Work:
    """GELS: the taller of the matrix and its transpose is factored, its Q applied, its R solved with."""
    tall, wide = max(m, n), min(m, n)
    solved = qr_factor(tall, wide).then(q_applied(tall, columns, wide, left=True))
    return solved.then(triangular_solved(wide, columns))


def _least_squares(a: Tensor, b: Tensor, rcond: Any = None, *, driver: str | None = None) -> Work:
    m, n = _sizes(a)
    columns = 1 if b.dim() < a.dim() else b.shape[-1]
    if driver in ("gelsd", "gelss"):  # x = V S^-1 U^T b
        k = min(m, n)
        products = columns * k * (m + n)
        return singular_values(m, n, vectors=True).then(Work(products + columns * k, products))
    return least_squares(m, n, columns)


def _inverse(a: Tensor, **_: Any) -> Work:
    n = a.shape[-1]
    return lu_factor(n, n).then(lu_inverted(n))


def _determinant(a: Tensor, **_: Any) -> Work:
    n = a.shape[-1]
    return lu_factor(n, n).then(Work(max(n - 1, 0), 0))  # the diagonal's product


def _singular(
    a: Tensor, full_matrices: bool = False, compute_uv: bool = True, *, vectors: bool = True, **_: Any
) -> Work:
    return singular_values(*_sizes(a), vectors=vectors and compute_uv, full=full_matrices)


def _symmetric(a: Tensor, uplo: str = "L", compute_v: bool = True, *, vectors: bool = True) -> Work:
    return symmetric_eigenvalues(a.shape[-1], vectors=vectors and compute_v)


def _eigen(a: Tensor, *, vectors: bool = True) -> Work:
    return eigenvalues(a.shape[-1], vectors=vectors)


def _pseudoinverse(a: Tensor, *_: Any, hermitian: bool = False, **__: Any) -> Work:
    m, n = a.shape[-2:]
    k = min(m, n)
    decomposed = symmetric_eigenvalues(n, vectors=True) if hermitian else singular_values(m, n, vectors=True)
    # [n, m] = [n, k] / [k] @ [k, m]
    return decomposed.then(Work(n * k + n * m * k, n * m * k))


def _of_rows(work_of: Callable[[int], Work]) -> Callable[..., Work]:
    return lambda a, *_, **__: work_of(a.shape[-1])


for names, work_of in (
    ("linalg_cholesky_ex cholesky", _of_rows(cholesky_factor)),
    ("cholesky_inverse", _of_rows(cholesky_inverted)),
    ("cholesky_solve", _cholesky_solve),
    ("linalg_solve_triangular", _triangular),
    ("triangular_solve", _old_triangular),
    ("linalg_lu linalg_lu_factor_ex", lambda a, **_: lu_factor(*_sizes(a))),
    ("linalg_lu_solve", _lu_solve),
    ("linalg_inv_ex", _inverse),
    ("_linalg_det _linalg_slogdet", _determinant),
    ("linalg_qr", _qr),
    ("linalg_lstsq", _least_squares),
    ("geqrf", lambda a: qr_factor(*_sizes(a))),
    ("linalg_householder_product", lambda a, tau: q_formed(*_sizes(a), tau.shape[-1])),
    ("ormqr", _apply_q),
    ("_linalg_svd", _singular),
    ("linalg_pinv", _pseudoinverse),
    ("_linalg_eigh", _symmetric),
    ("linalg_eig", _eigen),
    ("_linalg_eigvals", lambda a, *, vectors=False: eigenvalues(a.shape[-1], vectors=False)),
):
    _solving(names, work_of)
_solving("_linalg_solve_ex", _lu_solve_after_factor, once=True)
