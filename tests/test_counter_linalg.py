"""Dense linear algebra and Fourier transforms, against algorithms written as loops."""

from math import log2

import pytest
import torch
from counting import Call, count_both_ways, zeros

import ulsam_cost as uc

linalg = torch.linalg


class Loops:
    """The multiplications, divisions among them, and additions of algorithms as a textbook writes them."""

    def __init__(self):
        self.multiplications = self.additions = 0

    def multiply_add(self):
        self.multiplications += 1
        self.additions += 1

    def lu(self, m, n):
        for k in range(min(m, n)):
            self.multiplications += 1  # the reciprocal of the pivot
            for _row in range(k + 1, m):
                self.multiplications += 1
                for _column in range(k + 1, n):
                    self.multiply_add()

    def cholesky(self, n):
        for column in range(n):
            for _row in range(column, n):
                for _k in range(column):
                    self.multiply_add()
                self.multiplications += 1  # a division, on the diagonal a root

    def substitute(self, n, columns, *, unit=False):
        for _column in range(columns):
            for row in range(n):
                for _k in range(row):
                    self.multiply_add()
                self.multiplications += not unit


def loops(*calls):
    found = Loops()
    for name, *sizes in calls:
        options = {"unit": True} if name == "substitute in ones" else {}
        getattr(found, name.split()[0])(*sizes, **options)
    return found.additions, found.multiplications + found.additions


SQUARE, TALL, WIDE, COLUMNS = (2, 5, 5), (7, 4), (4, 7), (2, 5, 3)
SOLVES = {
    "LU": (linalg.lu_factor, [SQUARE], 2, [("lu", 5, 5)]),
    "LU of a tall matrix": (linalg.lu, [TALL], 1, [("lu", 7, 4)]),
    "Cholesky": (linalg.cholesky, [SQUARE], 2, [("cholesky", 5)]),
    "triangular solve": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True),
        [SQUARE, COLUMNS],
        2,
        [("substitute", 5, 3)],
    ),
    "triangular solve, diagonal of ones": (
        lambda a, b: linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        [SQUARE, COLUMNS],
        2,
        [("substitute in ones", 5, 3)],
    ),
    "triangular solve from the right": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True, left=False),
        [(5, 5), (3, 5)],
        1,
        [("substitute", 5, 3)],
    ),
    "one matrix, many sides": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True),
        [(1, 5, 5), (4, 5, 3)],
        4,
        [("substitute", 5, 3)],
    ),
    "triangular solve of many matrices for the same columns": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True),
        [SQUARE, (5, 3)],
        2,
        [("substitute", 5, 3)],
    ),
    "triangular solve of as many matrices as rows": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True),
        [(5, 5, 5), (5, 5)],
        5,
        [("substitute", 5, 5)],
    ),
    "solve by Cholesky": (torch.cholesky_solve, [COLUMNS, SQUARE], 2, [("substitute", 5, 3), ("substitute", 5, 3)]),
    "solve": (
        linalg.solve,
        [SQUARE, COLUMNS],
        2,
        [("lu", 5, 5), ("substitute in ones", 5, 3), ("substitute", 5, 3)],
    ),
    "solve of many matrices for the same columns": (
        linalg.solve,
        [SQUARE, (5, 3)],
        2,
        [("lu", 5, 5), ("substitute in ones", 5, 3), ("substitute", 5, 3)],
    ),
    "solve of one matrix for many columns, which is factored once": (
        linalg.solve,
        [(1, 5, 5), (4, 5, 3)],
        1,
        [("lu", 5, 5), ("substitute in ones", 5, 4 * 3), ("substitute", 5, 4 * 3)],
    ),
    "solve for one vector": (
        linalg.solve,
        [SQUARE, (5,)],
        2,
        [("lu", 5, 5), ("substitute in ones", 5, 1), ("substitute", 5, 1)],
    ),
    "solve for a vector": (
        linalg.solve,
        [SQUARE, (2, 5)],
        2,
        [("lu", 5, 5), ("substitute in ones", 5, 1), ("substitute", 5, 1)],
    ),
}


@pytest.mark.parametrize("name", SOLVES)
def test_factorizations_and_solves(name):
    function, shapes, batch, algorithms = SOLVES[name]
    count = count_both_ways(Call(function), tuple(zeros(*shape) for shape in shapes))
    macs, operations = loops(*algorithms)
    solve = count.cost.of_kind(uc.OpKind.SOLVE)
    assert (solve.macs, solve.macs) == (batch * macs, count.macs)
    assert count.number("strict") - sum(op.operations for op in solve) <= 2  # the sign of a permutation and the like
    assert sum(op.operations for op in solve) == batch * operations
    assert (count.activations, count.uncounted) == (0, ())


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_inverse(n):
    count = count_both_ways(Call(linalg.inv), zeros(n, n))
    found = Loops()
    found.lu(n, n)
    for column in range(n):  # the inverse of the upper factor
        for row in range(column):
            found.additions += column - 1 - row
            found.multiplications += column - row + 1  # at last by the diagonal's
    found.multiplications += n  # its diagonal
    for column in range(n):  # X L = inverse(U), from the last column to the first
        for row in range(n):
            for k in range(column + 1, n):
                found.multiplications += 1
                found.additions += row <= column or k > column + 1  # the first below the diagonal is added to nothing
    [op] = count.cost
    assert op.macs == found.additions
    # The authors of the count have one multiplication more for each element of a triangle.
    assert op.operations - op.macs == found.multiplications + n * (n + 1) // 2


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_determinant_multiplies_the_diagonal(n):
    count = count_both_ways(Call(linalg.det), zeros(2, n, n))
    macs, operations = loops(("lu", n, n))
    [factored] = count.cost.of_kind(uc.OpKind.SOLVE)
    assert (count.macs, factored.operations) == (2 * macs, 2 * (operations + n - 1))


def householder(m, n):
    """The multiply-adds of a QR factorization: each reflector meets the columns behind it twice, its own once."""
    return sum((m - k) * (1 + 2 * (n - k - 1)) for k in range(min(m, n)))


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (64, 48)])
def test_qr_takes_what_its_reflectors_take(shape):
    count = count_both_ways(Call(lambda a: linalg.qr(a, mode="r")), zeros(3, *shape))
    assert count.macs / 3 == pytest.approx(householder(*shape), abs=3 * max(shape) ** 2 / 2)


@pytest.mark.parametrize(
    ("shape", "operations", "additions"),  # LAPACK Working Note 41, Appendix C, DGEQRF: in thirds, and in sixths
    [
        ((7, 4), 6 * 7 * 4**2 - 2 * 4**3 + 3 * 7 * 4 + 3 * 4**2 + 14 * 4, 6 * 7 * 4**2 - 2 * 4**3 + 3 * 4**2 + 5 * 4),
        (
            (4, 7),
            6 * 7 * 4**2 - 2 * 4**3 + 9 * 7 * 4 - 3 * 4**2 + 14 * 4,
            6 * 7 * 4**2 - 2 * 4**3 - 3 * 4**2 + 6 * 7 * 4 + 5 * 4,
        ),
        ((5, 5), 6 * 5 * 5**2 - 2 * 5**3 + 3 * 5 * 5 + 3 * 5**2 + 14 * 5, 6 * 5 * 5**2 - 2 * 5**3 + 3 * 5**2 + 5 * 5),
    ],
)
def test_qr_takes_the_operations_that_lapack_gives(shape, operations, additions):
    count = count_both_ways(Call(lambda a: linalg.qr(a, mode="r")), zeros(2, *shape))
    assert 3 * count.number("strict") == 2 * operations
    assert 6 * count.macs == 2 * additions


@pytest.mark.parametrize(
    ("shape", "mode", "m", "n", "k"), [((7, 4), "reduced", 7, 4, 4), ((7, 4), "complete", 7, 7, 4)]
)
def test_forming_q_takes_the_operations_that_lapack_gives(shape, mode, m, n, k):
    [formed, factored] = (
        uc.count(Call(lambda a, mode=own: linalg.qr(a, mode=mode)), zeros(*shape)) for own in (mode, "r")
    )
    # LAPACK Working Note 41, Appendix C, DORGQR, in thirds: multiplications, additions
    multiplications = 6 * m * n * k - 3 * (m + n) * k**2 + 2 * k**3 + 6 * n * k - 3 * k**2 - 5 * k
    additions = 6 * m * n * k - 3 * (m + n) * k**2 + 2 * k**3 + 3 * n * k - 3 * m * k + k
    assert 3 * (formed.macs - factored.macs) == additions
    assert 3 * (formed.number("strict") - factored.number("strict")) == multiplications + additions


@pytest.mark.parametrize(("left", "macs", "operations"), [
    # LAPACK Working Note 41, Appendix C, DORMQR: for m = 7, n = 5, k = 4 from the left, for m = 5, n = 7 from the right
    (True, 2 * 7 * 5 * 4 - 5 * 4**2 + 5 * 4, 4 * 7 * 5 * 4 - 2 * 5 * 4**2 + 3 * 5 * 4),
    (False, 2 * 5 * 7 * 4 - 5 * 4**2 + 5 * 4, 4 * 5 * 7 * 4 - 2 * 5 * 4**2 + 2 * 5 * 4 + 7 * 4 - (4**2 - 4) // 2),
])  # fmt: skip
def test_reflectors_that_are_applied_take_the_operations_that_lapack_gives(left, macs, operations):
    other = zeros(2, 7, 5) if left else zeros(2, 5, 7)
    model = Call(lambda a, tau, x: torch.ormqr(a, tau, x, left=left))
    [op] = count_both_ways(model, (zeros(2, 7, 4), zeros(2, 4), other)).cost.ops
    assert (op.macs, op.operations) == (2 * macs, 2 * operations)


@pytest.mark.parametrize("n", [2, 5, 6])
def test_an_inverse_from_a_cholesky_factor_takes_what_lapack_gives(n):
    [op] = count_both_ways(Call(torch.cholesky_inverse), zeros(3, n, n)).cost.ops
    # LAPACK Working Note 41, Appendix C, DPOTRI
    assert 6 * op.operations == 3 * (4 * n**3 + 3 * n**2 + 5 * n)
    assert 6 * op.macs == 3 * (2 * n**3 - 3 * n**2 + n)


def test_a_batch_of_triangular_systems():
    solve = Call(lambda a, b: torch.triangular_solve(b, a)[0])
    assert count_both_ways(solve, (zeros(2, 5, 5), zeros(2, 5, 3))).macs == 2 * 3 * sum(range(5))


def test_forming_q_costs_as_much_again():
    m, n = 64, 48
    factor, reduced, complete = (
        uc.count(Call(lambda a, mode=mode: linalg.qr(a, mode=mode)), zeros(m, n)).macs
        for mode in ("r", "reduced", "complete")
    )
    # Backwards, so that each reflector meets only what the later ones have made.
    thin = sum(2 * (m - k) * (n - k - 1) for k in range(n))
    square = sum(2 * (m - k) * (m - k - 1) for k in range(n))
    assert reduced - factor == pytest.approx(thin, abs=2 * m * n)
    assert complete - factor == pytest.approx(square, abs=2 * m * n)


@pytest.mark.parametrize("driver", [None, "gelsy", "gels"])
@pytest.mark.parametrize(("m", "n", "columns"), [(64, 48, 3), (48, 64, 3), (20, 20, 7)])
def test_least_squares_take_reflectors_and_a_substitution(m, n, columns, driver):
    model = Call(lambda a, b: linalg.lstsq(a, b, driver=driver).solution)
    count = count_both_ways(model, (zeros(2, m, n), zeros(2, m, columns)))
    tall, wide = max(m, n), min(m, n)
    applied = sum(2 * (tall - k) for k in range(wide)) * columns
    substituted = sum(range(wide)) * columns
    factored = uc.count(Call(lambda a: linalg.qr(a, mode="r")), zeros(tall, wide)).macs
    assert count.macs == 2 * (factored + applied + substituted)
    assert count.uncounted == ()


def test_least_squares_by_singular_values():
    m, n, columns = 6, 4, 3
    model = Call(lambda a, b: linalg.lstsq(a, b, driver="gelsd").solution)
    [op] = count_both_ways(model, (zeros(m, n), zeros(m, columns))).cost.of_kind(uc.OpKind.SOLVE)
    decomposed = 6 * m * n**2 + 20 * n**3
    assert op.operations == decomposed + 2 * (n * m * columns) + n * columns + 2 * (n * n * columns)


@pytest.mark.parametrize("driver", ["gelsy", "gels", "gelsd", "gelss"])
@pytest.mark.parametrize(("left", "right"), [((2, 6, 4), (2, 6, 3)), ((4, 6), (4, 3)), ((2, 6, 4), (2, 6))])
def test_least_squares_give_without_values_what_they_give_of_full_rank(left, right, driver):
    real = linalg.lstsq(torch.eye(*left[-2:]).expand(left), torch.ones(right), driver=driver)
    model = Call(lambda a, b: linalg.lstsq(a, b, driver=driver))
    found = uc.count(model, (torch.empty(left, device="meta"), torch.empty(right, device="meta"))).outputs
    assert found == tuple(tuple(tensor.shape) for tensor in real)


@pytest.mark.parametrize(
    ("function", "shape", "operations"),
    [
        (linalg.svd, (6, 4), 4 * 6**2 * 4 + 8 * 6 * 4**2 + 9 * 4**3),
        (lambda a: linalg.svd(a, full_matrices=False), (4, 6), 6 * 6 * 4**2 + 20 * 4**3),
        (linalg.svd, (60, 4), 4 * 60**2 * 4 + 22 * 4**3),
        (lambda a: linalg.svd(a, full_matrices=False), (6, 6), 14 * 6 * 6**2 + 8 * 6**3),
        (linalg.svdvals, (60, 4), 2 * 60 * 4**2 + 2 * 4**3),
        (linalg.svdvals, (6, 6), 4 * 6 * 6**2 - 4 * 6**3 // 3),
        (lambda a: linalg.norm(a, ord=2), (60, 4), 2 * 60 * 4**2 + 2 * 4**3),
        (lambda a: torch.norm(a, p="nuc"), (60, 4), 2 * 60 * 4**2 + 2 * 4**3),
        (linalg.eigh, (2, 6, 6), 2 * 9 * 6**3),
        (linalg.eigvalsh, (6, 6), 4 * 6**3 // 3),
        (linalg.eig, (6, 6), 25 * 6**3),
        (linalg.eigvals, (6, 6), 10 * 6**3),
        (linalg.eigvals, (2, 3, 6, 6), 2 * 3 * 10 * 6**3),
        (linalg.pinv, (6, 4), 6 * 6 * 4**2 + 20 * 4**3 + 4 * 4 + 2 * (4 * 4 * 6)),
    ],
    ids=[
        "svd",
        "thin svd",
        "tall svd",
        "square svd",
        "svdvals",
        "square svdvals",
        "spectral norm",
        "nuclear norm",
        "eigh",
        "eigvalsh",
        "eig",
        "eigvals",
        "eigvals of a batch",
        "pinv",
    ],
)
def test_decompositions(function, shape, operations):
    count = count_both_ways(Call(function), zeros(*shape))
    [op] = count.cost.of_kind(uc.OpKind.SOLVE)
    assert op.operations == operations
    assert operations - 2 * op.macs in (0, 1, 16)  # halves, and the division by the values of the pseudoinverse


def test_complex_solves():
    real, of_complex = (
        uc.count(Call(linalg.inv), torch.zeros(5, 5, dtype=dtype)) for dtype in (torch.float32, torch.complex64)
    )
    [op], [complex_op] = real.cost.of_kind(uc.OpKind.SOLVE), of_complex.cost.of_kind(uc.OpKind.SOLVE)
    multiplications = op.operations - op.macs
    assert (complex_op.macs, complex_op.operations) == (4 * op.macs, 6 * multiplications + 2 * op.macs)


def test_no_tool_knows_solves():
    count = uc.count(Call(linalg.inv), zeros(5, 5))
    for tool in ("fvcore", "thop", "torch", "ptflops", "torchinfo", "torchprofile", "calflops"):
        assert count.number(tool) == 0


def butterflies(n):
    """The real operations of a radix-2 transform: a complex product (6) and two sums (4) for each butterfly."""
    return 0 if n == 1 else 2 * butterflies(n // 2) + n // 2 * (6 + 4)


@pytest.mark.parametrize(
    ("function", "shape", "dtype", "operations"),
    [
        (torch.fft.fft, (3, 16), torch.complex64, 3 * butterflies(16)),
        (torch.fft.ifft, (3, 1), torch.complex64, 0),
        (torch.fft.rfft, (3, 16), torch.float32, 3 * butterflies(16) // 2),
        (torch.fft.rfft2, (3, 8, 4), torch.float32, 3 * butterflies(32) // 2),
        (torch.fft.fft2, (3, 8, 4), torch.complex64, 3 * butterflies(32)),
        (torch.fft.irfft, (3, 9), torch.complex64, 3 * butterflies(16) // 2),
        (lambda x: torch.fft.irfft(x, n=15), (3, 9), torch.complex64, 3 * round(2.5 * 15 * log2(15))),
    ],
    ids=["fft", "of one", "rfft", "rfft2", "fft2", "irfft", "an odd length"],
)
def test_fourier_transforms(function, shape, dtype, operations):
    count = count_both_ways(Call(function), torch.zeros(shape, dtype=dtype))
    fft = count.cost.of_kind(uc.OpKind.FFT)
    assert sum(op.operations for op in fft) == operations
    assert (count.macs, count.activations, count.complete) == (0, 0, True)
    assert uc.CONVENTIONS["strict"].number(fft) == operations


@pytest.mark.parametrize(
    ("function", "shape", "results", "each"),
    [
        (lambda x: torch.cdist(x, x), (5, 4), 25, 4 + 4 + 3 + 1),  # differences, squares, sums, a root
        (lambda x: torch.cdist(x, x, p=1), (5, 4), 25, 4 + 4 + 3),
        (lambda x: torch.cdist(x, x), (2, 5, 4), 2 * 25, 4 + 4 + 3 + 1),
        (torch.pdist, (5, 4), 10, 4 + 4 + 3 + 1),
    ],
    ids=["cdist", "by absolute values", "a batch", "pdist"],
)
def test_distances(function, shape, results, each):
    count = count_both_ways(Call(function), zeros(*shape))
    assert (count.macs, count.uncounted) == (0, ())
    assert count.number("strict") == results * each


def test_distances_of_many_points_are_a_product():
    count = count_both_ways(Call(torch.cdist), (zeros(2, 30, 4), zeros(2, 40, 4)))
    # |x|^2 - 2 xy + |y|^2: [2, 30, 40] = [2, 30, 4 + 2] @ [2, 4 + 2, 40]
    assert (count.macs, count.uncounted, count.outputs) == (2 * 30 * 40 * (4 + 2), (), ((2, 30, 40),))
