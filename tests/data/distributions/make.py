# Reference values of the library's distributions. Run: python3 make.py (needs scipy 1.16 or later); writes the files of
# tests/stdlib named below. Densities, distribution functions, quantiles and moments are SciPy's. Samplers are tested by the
# probability integral transform u: the means of u, u^2 and of one wave of it, which with 1e5 draws have standard errors of
# 0.0009, 0.0009 and 0.0022; the tolerances are 4.6 of them. Counts are tested by the probability of each of some values.
import math, os
from scipy import stats
here = os.path.dirname(os.path.abspath(__file__))
out = {}
def put(file, name, lines):
    out.setdefault(file, []).append('test "%s" {\n%s}\n' % (name, "".join("  assert %s\n" % l for l in lines)))
def number(x): return repr(float(x)) if not float(x).is_integer() or abs(x) > 1e15 else repr(int(x))
def near(text, value, scale=1e-11):
    value = float(value)
    if value == -math.inf: return "%s == -infinity" % text
    return "near(%s, %r, %.0e)" % (text, value, max(scale, scale * abs(value)))
def continuous(file, name, d, reference, points, rate=1e-11, transform=True, variance=True, draws=True):
    lines = []
    for x in points:
        lines.append(near("log_prob(%s, %s)" % (d, number(x)), reference.logpdf(x), rate))
        lines.append(near("cdf(%s, %s)" % (d, number(x)), reference.cdf(x), 1e-12))
    for u in ([0.001, 0.3, 0.95] if transform else []):
        lines.append(near("inv_cdf(%s, %s)" % (d, u), reference.ppf(u), 1e-9))
        lines.append(near("cdf(%s, inv_cdf(%s, %s))" % (d, d, u), u, 1e-11))
    if math.isfinite(reference.mean()): lines.append(near("mean(%s)" % d, reference.mean(), rate))
    if variance and math.isfinite(reference.var()): lines.append(near("variance(%s)" % d, reference.var(), 1e-10))
    if draws:
        lines.append("near(cdf(%s, draw(%s)), 0.5, 0.0042)" % (d, d))
        lines.append("near(cdf(%s, draw(%s))^2, %r, 0.0044)" % (d, d, 1 / 3))
        lines.append("near(sin(2 * pi * cdf(%s, draw(%s))), 0, 0.0103)" % (d, d))
    put(file, name, lines)
def discrete(file, name, d, reference, points, cdf=True, moments=True):
    lines = []
    for x in points:
        lines.append(near("log_prob(%s, %d)" % (d, x), reference.logpmf(x)))
        if cdf: lines.append(near("cdf(%s, %d)" % (d, x), reference.cdf(x)))
        p = reference.pmf(x)
        if 1e-3 < p < 1 - 1e-3:
            lines.append("near(if draw(%s) == %d { 1.0 } else { 0.0 }, %r, %.1e)" % (d, x, float(p), 4.6 * math.sqrt(p * (1 - p) / 1e5)))
    if moments:
        lines.append(near("mean(%s)" % d, reference.mean()))
        lines.append(near("variance(%s)" % d, reference.var(), 1e-10))
    m, v = reference.mean(), reference.var()
    if math.isfinite(v):
        lines.append("near(1.0 * draw(%s), %r, %.1e)" % (d, float(m), 4.6 * math.sqrt(v / 1e5)))
    put(file, name, lines)
G = "gamma_family.ppl"
for a, b in [(2.5, 3), (0.3, 3), (0.01, 1), (40, 0.5), (1e4, 2)]:
    r = stats.gamma(a, scale=1 / b); m = a / b
    continuous(G, "gamma(%s, %s)" % (a, b), "gamma(%s, %s)" % (number(a), number(b)), r, [m * 0.5, m, m * 1.8] if a < 1e3 else [m * 0.99, m, m * 1.02], rate=1e-10, transform=a > 0.1)
for a, b in [(2.5, 3), (0.7, 2)]:
    continuous(G, "inverse_gamma(%s, %s)" % (a, b), "inverse_gamma(%s, %s)" % (a, b), stats.invgamma(a, scale=b), [0.2, 1.5, 20])
for nu in [1, 3.5]:
    continuous(G, "chi_squared(%s)" % nu, "chi_squared(%s)" % nu, stats.chi2(nu), [0.1, 2, 12])
continuous(G, "inverse_chi_squared(5)", "inverse_chi_squared(5)", stats.invgamma(2.5, scale=0.5), [0.05, 0.3, 2])
for a, b in [(2.5, 3), (0.5, 0.5), (0.05, 2), (200, 30)]:
    r = stats.beta(a, b); m = a / (a + b)
    continuous(G, "beta(%s, %s)" % (a, b), "beta(%s, %s)" % (a, b), r, [m * 0.9, m, m + (1 - m) * 0.3], rate=1e-10, transform=a > 0.1)
continuous(G, "beta_proportion(0.3, 8)", "beta_proportion(0.3, 8)", stats.beta(2.4, 5.6), [0.1, 0.3, 0.7])
for nu in [4, 1.5, 0.7, 60]:
    continuous(G, "student_t(%s, 1, 2)" % nu, "student_t(%s, 1, 2)" % nu, stats.t(nu, 1, 2), [-30, 0.5, 12])
class HalfT:
    def __init__(s, nu, scale): s.t = stats.t(nu, 0, scale); s.nu = nu; s.scale = scale
    def logpdf(s, x): return s.t.logpdf(x) + math.log(2)
    def cdf(s, x): return 2 * s.t.cdf(x) - 1
    def ppf(s, u): return s.t.ppf(0.5 + u / 2)
    def mean(s): return 2 * s.scale * math.sqrt(s.nu / math.pi) * math.exp(math.lgamma((s.nu + 1) / 2) - math.lgamma(s.nu / 2)) / (s.nu - 1) if s.nu > 1 else math.inf
    def var(s): return s.scale ** 2 * s.nu / (s.nu - 2) - s.mean() ** 2 if s.nu > 2 else math.inf
continuous(G, "half_student_t(4, 2)", "half_student_t(4, 2)", HalfT(4, 2), [0.1, 1, 9])
U = "univariate.ppl"
continuous(U, "frechet(2.5, 3)", "frechet(2.5, 3)", stats.invweibull(2.5, scale=3), [1.2, 3, 30])
continuous(U, "triangular(-1, 0.5, 3)", "triangular(-1, 0.5, 3)", stats.triang(1.5 / 4, -1, 4), [-0.9, 0.4, 0.6, 2.9])
class Circle:
    # The circle's normal around mu, cut at -π and π.
    def __init__(s, mu, k):
        from scipy.integrate import quad
        from scipy.special import i0e
        s.f = lambda x: math.exp(k * (math.cos(x - mu) - 1)) / (2 * math.pi * i0e(k))
        s.quad = lambda a, b: quad(s.f, a, b, epsabs=1e-14, epsrel=1e-13, limit=500, points=[p for p in (mu, mu - math.pi, mu + math.pi) if a < p < b] or None)[0]
    def logpdf(s, x): return math.log(s.f(x))
    def cdf(s, x): return s.quad(-math.pi, x)
    def mean(s): return math.inf
    def var(s): return math.inf
    def ppf(s, u):
        from scipy.optimize import brentq
        return brentq(lambda x: s.cdf(x) - u, -math.pi, math.pi, xtol=1e-13)
for mu, k in [(0, 0.5), (2.5, 1.5), (-3, 4), (1, 200)]:
    s = 1 / math.sqrt(k)
    continuous(U, "von_mises(%s, %s)" % (mu, k), "von_mises(%s, %s)" % (mu, k), Circle(mu, k), [p for p in [-3, mu - s, mu + 0.4 * s, 3] if abs(p) < 3.1], rate=1e-10, draws=mu < 1)
for a in [3, -1.5]:
    continuous(U, "skew_normal(1, 2, %s)" % a, "skew_normal(1, 2, %s)" % a, stats.skewnorm(a, 1, 2), [-2, 0.5, 4], transform=False)
continuous(U, "exp_mod_normal(1, 2, 0.7)", "exp_mod_normal(1, 2, 0.7)", stats.exponnorm(1 / (2 * 0.7), 1, 2), [-3, 1, 9], transform=False)
D = "counts.ppl"
for r in [0.05, 2.5, 40, 3000]:
    q = stats.poisson(r); discrete(D, "poisson(%s)" % r, "poisson(%s)" % r, q, sorted({int(q.ppf(u)) for u in (0.01, 0.4, 0.9)}))
discrete(D, "poisson_log(0.5)", "poisson_log(0.5)", stats.poisson(math.exp(0.5)), [0, 1, 3])
for n, p in [(10, 0.3), (10, 0.9), (1000, 0.02), (5000, 0.6)]:
    q = stats.binom(n, p); discrete(D, "binomial(%s, %s)" % (n, p), "binomial(%s, %s)" % (n, p), q, sorted({int(q.ppf(u)) for u in (0.01, 0.4, 0.9)}))
discrete(D, "binomial_logit(10, -0.4)", "binomial_logit(10, -0.4)", stats.binom(10, 1 / (1 + math.exp(0.4))), [0, 3, 10])
for mu, phi in [(3, 2), (50, 0.4)]:
    q = stats.nbinom(phi, phi / (phi + mu)); pts = [0, 1, 5]
    discrete(D, "neg_binomial_2(%s, %s)" % (mu, phi), "neg_binomial_2(%s, %s)" % (mu, phi), q, pts)
    discrete(D, "neg_binomial_2_log(log %s, %s)" % (mu, phi), "neg_binomial_2_log(log(%s), %s)" % (mu, phi), q, pts)
discrete(D, "geometric(0.2)", "geometric(0.2)", stats.geom(0.2, -1), [0, 1, 7])
discrete(D, "beta_binomial(10, 2, 3)", "beta_binomial(10, 2, 3)", stats.betabinom(10, 2, 3), [0, 3, 10], cdf=False)
discrete(D, "hypergeometric(5, 4, 7)", "hypergeometric(5, 4, 7)", stats.hypergeom(11, 4, 5), [0, 1, 4], cdf=False)
discrete(D, "discrete_uniform(-2, 6)", "discrete_uniform(-2, 6)", stats.randint(-2, 7), [-2, 0, 6])
class Inflated:
    def __init__(s, w, d): s.w, s.d = w, d
    def pmf(s, x): return (s.w if x == 0 else 0) + (1 - s.w) * s.d.pmf(x)
    def logpmf(s, x): return math.log(s.pmf(x))
    def mean(s): return (1 - s.w) * s.d.mean()
    def var(s): return (1 - s.w) * (s.d.var() + s.w * s.d.mean() ** 2)
discrete(D, "zero_inflated(0.2, poisson(3))", "zero_inflated(0.2, poisson(3))", Inflated(0.2, stats.poisson(3)), [0, 2, 5], cdf=False, moments=False)
class Graded:
    def __init__(s, eta, c):
        P = [1 / (1 + math.exp(k - eta)) for k in c]; e = [1] + P + [0]
        s.p = [e[i] - e[i + 1] for i in range(len(c) + 1)]
    def pmf(s, x): return s.p[x]
    def logpmf(s, x): return math.log(s.p[x])
    def mean(s): return sum(i * q for i, q in enumerate(s.p))
    def var(s): return sum(i * i * q for i, q in enumerate(s.p)) - s.mean() ** 2
discrete(D, "ordered_logistic", "ordered_logistic(0.3, [-1, 0.2, 1.5])", Graded(0.3, [-1, 0.2, 1.5]), [0, 1, 2, 3], cdf=False, moments=False)
for file, tests in out.items():
    with open(os.path.join(here, "../../stdlib", file), "w") as f:
        f.write("// Values by SciPy; written by tests/data/distributions/make.py.\n\n" + "\n".join(tests))
