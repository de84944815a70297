# Reference values of the vector-math kernels. Run: python3 make.py > reference.txt (needs mpmath 1.3 or later).
# A line: name, operands, value; numbers as the bits of doubles in hexadecimal.
import random, struct
from mpmath import *
mp.dps = 50
random.seed(20240229)
bits = lambda x: "%016x" % struct.unpack(">Q", struct.pack(">d", x))[0]
def put(name, args, value):
    v = float(value) if not isinstance(value, float) else value
    print(name, *[bits(float(a)) for a in args], bits(v))
def logu(a, b): return float(mpf(10) ** random.uniform(a, b))
def signed(f): return lambda: random.choice([-1.0, 1.0]) * f()
def loggam(x): return log(abs(gamma(x))) if x < 0 else loggamma(x).real
def fallback_log_ncdf(x):
    x = mpf(x)
    return log(erfc(-x / sqrt(2)) / 2) if x < 5 else log1p(-erfc(x / sqrt(2)) / 2)
def ncdf_(x): return erfc(-mpf(x) / sqrt(2)) / 2
def quantile(p):
    p = mpf(p)
    if p < mpf("1e-8") or p > 1 - mpf("1e-8"):
        t = sqrt(-2 * log(min(p, 1 - p)))
        x0 = -(t - log(t * sqrt(2 * pi)) / t) if p < .5 else t - log(t * sqrt(2 * pi)) / t
        target = log(min(p, 1 - p)); s = 1 if p < .5 else -1
        for _ in range(60):
            z = s * x0
            F = log(erfc(-z / sqrt(2)) / 2)
            step = (F - target) * exp(F) * sqrt(2 * pi) * exp(z * z / 2)
            z -= step; x0 = s * z
            if abs(step) < mpf(10) ** -40: break
        return x0
    return -sqrt(2) * erfinv(1 - 2 * p)
def exact(f):
    return lambda x: f(mpf(x))
def run(name, f, *gens, n=60):
    for g in gens:
        for _ in range(n):
            x = g(); put(name, [x], f(x))
run("exp", exact(exp), lambda: random.uniform(-1, 1), lambda: random.uniform(-745, 709.7), signed(lambda: logu(-20, 0)))
run("expm1", exact(expm1), lambda: random.uniform(-1, 1), lambda: random.uniform(-40, 709.7), signed(lambda: logu(-20, 0)))
run("log", exact(log), lambda: random.uniform(.5, 2), lambda: logu(-307, 308), lambda: logu(-323, -308), lambda: 1 + random.uniform(-1e-6, 1e-6))
run("log1p", exact(log1p), lambda: random.uniform(-.5, 1), lambda: -1 + logu(-15, 0), signed(lambda: logu(-300, -.01)), lambda: logu(0, 308))
for name, f in (("sin", sin), ("cos", cos), ("tan", tan)):
    run(name, exact(f), lambda: random.uniform(-4, 4), lambda: random.uniform(-99999, 99999), signed(lambda: logu(-20, 0)),
        lambda: float(random.randint(-60000, 60000) * pi / 2), lambda: logu(5, 300), n=40)
run("atan", exact(atan), lambda: random.uniform(-4, 4), signed(lambda: logu(-20, 20)))
run("tanh", exact(tanh), lambda: random.uniform(-4, 4), signed(lambda: logu(-20, 1.3)))
run("sigmoid", lambda x: 1 / (1 + exp(-mpf(x))), lambda: random.uniform(-4, 4), lambda: random.uniform(-700, 700), signed(lambda: logu(-20, 0)))
run("softplus", lambda x: log1p(exp(mpf(x))), lambda: random.uniform(-4, 4), lambda: random.uniform(-700, 700), signed(lambda: logu(-20, 0)))
run("neg_abs_exp", lambda x: exp(-abs(mpf(x))), lambda: random.uniform(-4, 4), lambda: random.uniform(-700, 700))
mp.dps = 40
run("lgamma", exact(loggam), lambda: random.uniform(0, 3), lambda: logu(-300, 0), lambda: random.uniform(3, 20), lambda: logu(1, 300),
    lambda: 1 + signed(lambda: logu(-12, -.5))(), lambda: 2 + signed(lambda: logu(-12, -.5))(), n=30)
run("digamma", exact(digamma), lambda: random.uniform(0, 3), lambda: logu(-300, 0), lambda: random.uniform(3, 20), lambda: logu(1, 300),
    lambda: 1.4616321449683622 + signed(lambda: logu(-12, -.5))(), lambda: random.uniform(-20, 0), n=30)
run("trigamma", exact(lambda x: psi(1, x)), lambda: random.uniform(0, 3), lambda: logu(-100, 0), lambda: random.uniform(3, 20), lambda: logu(1, 100), lambda: random.uniform(-20, 0), n=30)
run("normal_cdf", ncdf_, lambda: random.uniform(-4, 4), lambda: random.uniform(-37.5, 8), signed(lambda: logu(-20, 0)))
run("log_normal_cdf", fallback_log_ncdf, lambda: random.uniform(-4, 4), lambda: random.uniform(-37, 37), lambda: -logu(0, 4), signed(lambda: logu(-20, 0)))
run("normal_quantile", quantile, lambda: random.uniform(0, 1), lambda: logu(-307, 0), lambda: 1 - logu(-16, 0), lambda: .5 + signed(lambda: logu(-16, -1))(), n=40)
def P(a, x):
    a, x = mpf(a), mpf(x)
    return gammainc(a, 0, x, regularized=True) if x < a + 20 * sqrt(a) + 20 else 1 - gammainc(a, x, inf, regularized=True)
def gammas(n):
    for _ in range(n):
        a = logu(-2, 4.5)
        yield a, abs(a * (1 + random.uniform(-3, 3) / a ** .5)) + logu(-6, -3)
        yield a, logu(-3, 2.5)
for a, x in gammas(60):
    v = P(a, x)
    if v > mpf(10) ** -290: put("gamma_p", [a, x], v)
def series_da(a, x):
    a, x = mpf(a), mpf(x)
    with workdps(60 + int(x)):
        t = exp(a * log(x) - x - loggamma(a + 1)); s = mpf(0); ps = log(x) - digamma(a + 1); n = 0
        while True:
            s += t * ps; n += 1; t *= x / (a + n); ps -= 1 / (a + n)
            if n > x and abs(t * ps) < abs(s) * mpf(10) ** -40: break
        return +s
for _ in range(60):
    a = logu(-2, 3); x = abs(a * (1 + random.uniform(-3, 3) / a ** .5)) + logu(-4, -2)
    put("gamma_p_da", [a, x], series_da(a, x))
    x = logu(-3, 2); put("gamma_p_da", [a, x], series_da(a, x)) if abs(series_da(a, x)) > mpf(10) ** -290 else None
for _ in range(120):
    a, b = logu(-2, 3.5), logu(-2, 3.5)
    x = random.choice([random.uniform(0, 1), min(max(a / (a + b) * (1 + random.uniform(-.1, .1)), 1e-9), 1 - 1e-9)])
    with workdps(60):
        X = mpf(x); A = mpf(a); B = mpf(b)
        def tail(a, b, x): return x**a * (1-x)**b / (a * beta(a, b)) * hyp2f1(a + b, 1, a + 1, x)
        try: v = tail(A, B, X) if X < (A + 1) / (A + B + 2) else 1 - tail(B, A, 1 - X)
        except Exception: continue
    if v > mpf(10) ** -290: put("beta_inc", [a, b, x], v)
# Of the log of a gamma variate that keeps its place: -(dP/da) / (x p(x)), from the derivative above by quadrature-free series
# in the lower tail, and from the upper tail's integrals otherwise.
def log_gamma_da(a, l):
    with workdps(60):
        a, l = mpf(a), mpf(l); x = exp(l)
        if x < a + 1:
            t = mpf(1); s = mpf(0); ps = l - digamma(a + 1); n = 0
            while True:
                s += t * ps; n += 1; t *= x / (a + n); ps -= 1 / (a + n)
                if n > x and abs(t * ps) < abs(s) * mpf(10) ** -45: break
            return -s / a
        # ∫ exp(-x s) (1+s)^(a-1) {1, log(1+s)} ds over s > 0.
        w = 1 / (x - a + 1 + sqrt(a))
        f = lambda s: exp(-x * s) * (1 + s) ** (a - 1)
        cuts = [0] + [w * k for k in (1, 2, 4, 8, 16, 32, 64, 128)]
        h = quad(f, cuts); d = quad(lambda s: f(s) * log1p(s), cuts)
        return h * (l - digamma(a)) + d
for _ in range(60):
    a = logu(-3, 4); put("log_gamma_da", [a, (l := float(log(a) + random.uniform(-4, 4) / a ** .5))], log_gamma_da(a, l))
for _ in range(30):
    a = logu(-3, 1); put("log_gamma_da", [a, (l := float(-logu(0, 4)))], log_gamma_da(a, l))
for _ in range(30):
    a = logu(-3, 2); put("log_gamma_da", [a, (l := float(log(a + 1 + logu(-1, 2))))], log_gamma_da(a, l))
def inverse(F, logit_start, p, to):
    # F increasing in t; bisection, then secants, on the smaller tail.
    lo, hi = mpf(logit_start[0]), mpf(logit_start[1])
    for _ in range(170):
        m = (lo + hi) / 2
        if F(m) < p: lo = m
        else: hi = m
    return to((lo + hi) / 2)
for _ in range(100):
    a = logu(-1.5, 3); p = random.choice([random.uniform(0, 1), logu(-30, -1), 1 - logu(-9, -1)])
    with workdps(45):
        lo = (log(mpf(p)) + loggamma(mpf(a) + 1)) / a - mpf("1e-6"); hi = log(mpf(a) + 60 * sqrt(mpf(a)) + 400)
        x = inverse(lambda t: P(a, exp(t)), (lo, hi), mpf(p), exp)
    if x > mpf(10) ** -290: put("gamma_p_inv", [a, p], x)
def I(a, b, x, y):
    def tail(a, b, x, y): return x**a * y**b / (a * beta(a, b)) * hyp2f1(a + b, 1, a + 1, x)
    return tail(a, b, x, y) if x < (a + 1) / (a + b + 2) else 1 - tail(b, a, y, x)
for _ in range(100):
    a, b = logu(-1, 2), logu(-1, 2); p = random.choice([random.uniform(0, 1), logu(-12, -1)])
    with workdps(45):
        A, B = mpf(a), mpf(b); s = lambda t: 1 / (1 + exp(-t))
        x = inverse(lambda t: I(A, B, s(t), s(-t)), (-300, 60), mpf(p), s)
    if mpf(10) ** -120 < x < 1 - mpf(10) ** -3: put("beta_inc_inv", [a, b, p], x)
for _ in range(100):
    a, b = logu(-2, 2.5), logu(-2, 2.5)
    x = random.choice([random.uniform(0, 1), min(max(a / (a + b) * (1 + random.uniform(-.1, .1)), 1e-9), 1 - 1e-9)])
    with workdps(90):
        h = mpf(10) ** -25; X = mpf(x)
        g = lambda t: I(mpf(a) + t, mpf(b), X, 1 - X)
        v = (g(h) - g(-h)) / (2 * h)
    if abs(v) > mpf(10) ** -290: put("beta_inc_da", [a, b, x], v)
def vm(k, x, power=0):
    # ∫ over [x, π] of (1 - cos t)^power exp(κ (cos t - cos x)).
    w = 1 / (1 + sqrt(k)); cuts = [x] + [x + w * j for j in (1, 2, 4, 8, 16, 32, 64) if x + w * j < pi] + [pi]
    return quad(lambda t: (1 - cos(t)) ** power * exp(k * (cos(t) - cos(x))), cuts)
mp.dps = 30
for _ in range(100):
    k = random.choice([logu(-3, 4), random.uniform(0, 4)]); x = max(-3.14, min(3.14, random.uniform(-4, 4) / max(1, k ** .5)))
    K, X = mpf(k), mpf(abs(x)); whole = vm(K, mpf(0)); up = vm(K, X); f = exp(K * (cos(X) - 1))
    F = f * up / (2 * whole)
    put("von_mises_cdf", [k, x], F if x < 0 else 1 - F)
    A1 = vm(K, mpf(0), 1) / whole
    d = A1 * up - vm(K, X, 1)
    if abs(x) * max(1, k ** .5) > .3: put("von_mises_dk", [k, x], d if x > 0 else -d)
for _ in range(100):
    k = random.choice([logu(-3, 4), random.uniform(0, 4)]); u = random.choice([random.uniform(0, 1), logu(-8, -1)])
    K = mpf(k); whole = vm(K, mpf(0)); p = mpf(min(u, 1 - mpf(u)))
    if abs(u - .5) < .02: continue
    lo, hi = mpf(0), pi
    for _ in range(12):
        m = (lo + hi) / 2
        if exp(K * (cos(m) - 1)) * vm(K, m) / (2 * whole) > p: lo = m
        else: hi = m
    m = (lo + hi) / 2
    for _ in range(8):
        r = vm(K, m); m = min(max(m + r * (log(r / (2 * whole)) + K * (cos(m) - 1) - log(p)), lo), hi)
    if m == m: put("von_mises_quantile", [k, u], m if u > .5 else -m)
mp.dps = 40
run("log_bessel_i0", lambda x: log(besseli(0, mpf(x))), lambda: random.uniform(.1, 5), signed(lambda: logu(-3, 4)), lambda: logu(0, 6), n=40)
run("bessel_ratio", lambda x: besseli(1, mpf(x)) / besseli(0, mpf(x)), lambda: random.uniform(.1, 5), signed(lambda: logu(-3, 4)), lambda: logu(0, 6), n=40)
for _ in range(120):
    h, a = random.choice([random.uniform(-4, 4), logu(-3, 1.2)]), random.choice([random.uniform(-2, 2), logu(-3, 2)])
    with workdps(30):
        H, A = mpf(h), mpf(a); w = 1 / (1 + abs(H))
        cuts = [mpf(0)] + [w * j for j in (1, 2, 4, 8, 16) if w * j < abs(A)] + [abs(A)]
        v = exp(-H * H / 2) / (2 * pi) * quad(lambda x: exp(-H * H * x * x / 2) / (1 + x * x), cuts) * (1 if A > 0 else -1)
    if abs(v) > mpf(10) ** -290: put("owens_t", [h, a], v)
