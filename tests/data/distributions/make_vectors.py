# Reference values of distributions over vectors. Run: python3 make_vectors.py > ../../stdlib/vectors.ppl (needs scipy).
from scipy import stats, special
def A(x): return "[" + ", ".join(A(r) if np.ndim(r) else repr(float(r)) for r in x) + "]"
loc=np.array([1.0,2.0,-0.5]); L=np.array([[1.2,0,0],[0.4,0.9,0],[-0.3,0.5,0.7]]); S=L@L.T; P=np.linalg.inv(S)
x=np.array([0.3,1.1,0.4])
T=[]
def t(name, lines): T.append('test "%s" {\n%s}\n'%(name,"".join("  "+l+"\n" for l in lines)))
def near(e,v,tol=1e-10): return "assert near(%s, %s, %.0e)"%(e, A(v) if np.ndim(v) else repr(float(v)), max(tol, tol*np.max(np.abs(v))))
se=lambda v,n=1e5: 4.6*math.sqrt(v/n)
t("multi_normal_prec",["let P = "+A(P), near("log_prob(multi_normal_prec(%s, P), %s)"%(A(loc),A(x)), stats.multivariate_normal(loc,S).logpdf(x)),
  "let x = draw(multi_normal_prec(%s, P))"%A(loc), "assert near(x[0], 1, %.1e)"%se(S[0,0]), "assert near((x[0] - 1) * (x[2] + 0.5), %r, %.1e)"%(float(S[0,2]), se(S[0,0]*S[2,2]+S[0,2]**2)), "assert near((x[2] + 0.5)^2, %r, %.1e)"%(float(S[2,2]), se(2*S[2,2]**2))])
F=np.array([[1.0,0.2],[0.5,-0.7],[0.1,0.4]]); d=np.array([0.5,0.8,1.1]); C=F@F.T+np.diag(d**2)
t("multi_normal_low_rank",["let F = "+A(F), near("log_prob(multi_normal_low_rank(%s, F, %s), %s)"%(A(loc),A(d),A(x)), stats.multivariate_normal(loc,C).logpdf(x)),
  near("variance(multi_normal_low_rank(%s, F, %s))"%(A(loc),A(d)), np.diag(C)),
  "let x = draw(multi_normal_low_rank(%s, F, %s))"%(A(loc),A(d)), "assert near((x[0] - 1) * (x[1] - 2), %r, %.1e)"%(float(C[0,1]), se(C[0,0]*C[1,1]+C[0,1]**2))])
t("multi_student_t",["let S = "+A(S), near("log_prob(multi_student_t(9, %s, S), %s)"%(A(loc),A(x)), stats.multivariate_t(loc,S,9).logpdf(x)),
  "let x = draw(multi_student_t(9, %s, S))"%A(loc), "assert near(cdf(student_t(9, 1, %r), x[0]), 0.5, 0.0042)"%math.sqrt(S[0,0]), "assert near((x[0] - 1) * (x[1] - 2), %r, %.1e)"%(float(S[0,1]*9/7), 0.06)])
X=np.array([[2.0,0.3,0.1],[0.3,1.5,-0.4],[0.1,-0.4,1.1]])
t("wishart",["let S = "+A(S),"let X = "+A(X), near("log_prob(wishart(5.5, S), X)", stats.wishart(5.5,S).logpdf(X)), near("mean(wishart(5.5, S))", 5.5*S),
  "let W = draw(wishart(5.5, S))"]+["assert near(W[%d, %d], %r, %.1e)"%(i,j,float(5.5*S[i,j]), se(5.5*(S[i,i]*S[j,j]+S[i,j]**2))) for i,j in [(0,0),(0,1),(1,2),(2,2)]]
  +["assert near(log_det_cholesky(cholesky(W)), %r, %.1e)"%(float(sum(special.digamma((5.5-i)/2) for i in range(3))+3*math.log(2)+np.linalg.slogdet(S)[1]), se(sum(special.polygamma(1,(5.5-i)/2) for i in range(3))))])
t("inverse_wishart",["let S = "+A(S),"let X = "+A(X), near("log_prob(inverse_wishart(9.5, S), X)", stats.invwishart(9.5,S).logpdf(X)), near("mean(inverse_wishart(9.5, S))", S/(9.5-4)),
  "let W = draw(inverse_wishart(9.5, S))"]+["assert near(W[%d, %d], %r, %.1e)"%(i,j,float(S[i,j]/5.5), se(S[i,i]*S[j,j]/5.5**2)) for i,j in [(0,0),(0,1),(1,2),(2,2)]]
  +["assert near(log_det_cholesky(cholesky(W)), %r, %.1e)"%(-float(sum(special.digamma((9.5-i)/2) for i in range(3))+3*math.log(2)-np.linalg.slogdet(S)[1]), se(sum(special.polygamma(1,(9.5-i)/2) for i in range(3))))])
# LKJ: r_01 marginally beta(eta + K/2 - 1) on (-1, 1).
K,eta=3,1.7; b=eta+K/2-1
t("lkj",["let L = draw(lkj_corr_cholesky(3, 1.7))","assert near(beta_inc(%r, %r, 0.5 + 0.5 * L[1, 0]), 0.5, 0.0042)"%(b,b),"assert near(beta_inc(%r, %r, 0.5 + 0.5 * L[1, 0])^2, 0.333333333333333, 0.0044)"%(b,b),
  "let r = L[2, 0] * L[1, 0] + L[2, 1] * L[1, 1]", "assert near(beta_inc(%r, %r, 0.5 + 0.5 * r), 0.5, 0.0042)"%(b,b),"assert near(beta_inc(%r, %r, 0.5 + 0.5 * r)^2, 0.333333333333333, 0.0044)"%(b,b),
  "assert near(L[2, 0]^2 + L[2, 1]^2 + L[2, 2]^2, 1, 1e-12)",
  # corr: density of the matrix
  "let R = draw(lkj_corr(3, 1.7))","assert near(beta_inc(%r, %r, 0.5 + 0.5 * R[2, 1])^2, 0.333333333333333, 0.0044)"%(b,b),
  # L -> R for K=3: d R = L11 d(l21).. jacobian prod L_kk^(K-1-k)
  near("log_prob(lkj_corr(3, 1.7), [[1, 0.3, 0.1], [0.3, 1, -0.4], [0.1, -0.4, 1]])", (lambda R: 0.7*np.linalg.slogdet(R)[1]-sum(0.5*k*math.log(math.pi)+special.gammaln(eta+0.5*(K-1-k))-special.gammaln(eta+0.5*(K-1)) for k in range(1,K)))(np.array([[1,.3,.1],[.3,1,-.4],[.1,-.4,1]]))),
])
g=np.array([0.2,0.5,0.1,0.9])
t("gaussian_random_walk",[near("log_prob(gaussian_random_walk(4, 0.3, 0.7), %s)"%A(g), sum(stats.norm(m,0.7).logpdf(v) for m,v in zip([0.3,0.2,0.5,0.1],g))),
  "let x = draw(gaussian_random_walk(4, 0.3, 0.7))","assert near((x[1] - 0.3) * (x[3] - 0.3), 0.98, %.1e)"%se(0.98*1.96+0.98**2)])
phi=[0.5,0.2]; lp=0
for i in range(4):
    m=0.3+sum(phi[j]*g[i-1-j] for j in range(2) if i-1-j>=0); lp+=stats.norm(m,0.7).logpdf(g[i])
Am=np.eye(4)
for i in range(4):
    for j in range(2):
        if i-1-j>=0: Am[i,i-1-j]-=phi[j]
cov=0.49*np.linalg.inv(Am)@np.linalg.inv(Am).T; mu=np.linalg.solve(Am,np.full(4,.3))
t("ar",[near("log_prob(ar(4, 0.3, [0.5, 0.2], 0.7), %s)"%A(g), lp),"let x = draw(ar(4, 0.3, [0.5, 0.2], 0.7))","assert near(x[3], %r, %.1e)"%(float(mu[3]),se(cov[3,3])),"assert near((x[1] - %r) * (x[3] - %r), %r, %.1e)"%(float(mu[1]),float(mu[3]),float(cov[1,3]),se(cov[1,1]*cov[3,3]+cov[1,3]**2))])
t("censored",[near("log_prob(censored(exponential(0.1), 0.5, 10), 10)",-1.0),near("log_prob(censored(exponential(0.1), 0.5, 10), 0.5)",math.log1p(-math.exp(-0.05))),near("log_prob(censored(exponential(0.1), 0.5, 10), 3)",math.log(0.1)-0.3),
  "assert near(if draw(censored(exponential(0.1), 0.5, 10)) == 10 { 1.0 } else { 0.0 }, %r, %.1e)"%(math.exp(-1),se(0.24))])
t("power",[near("log_prob(power(normal(0, 1), 0.5), 2)", 0.5*stats.norm.logpdf(2))])
t("product",[near("log_prob(product(normal(0, 1), gamma(2, 1)), {first: 0.3, second: 1.2})", stats.norm.logpdf(.3)+stats.gamma(2).logpdf(1.2)),"let x = draw(product(normal(0, 1), gamma(2, 1)))","assert near(x.first + x.second, 2, %.1e)"%se(3)])
m=np.array([2,3,5]); w=np.array([.2,.3,.5])
t("multinomial",[near("log_prob(multinomial(10, %s), [2, 3, 5])"%A(w), stats.multinomial(10,w).logpmf(m)), "assert near(log_prob(multinomial(3, [0, 0.4, 0.6]), [0, 1, 2]), %r, 1e-11)"%math.log(3*.4*.36),
 "let x = draw(multinomial(10, %s))"%A(w),"assert near(sum(x), 10, 0)","assert near(1.0 * x[0], 2, %.1e)"%se(1.6),"assert near(1.0 * x[1] * x[2], 13.5, %.1e)"%se(40),"let y = draw(multinomial(3, [1, 0, 0]))","assert near(1.0 * y[0], 3, 0)"])
a=np.array([1.0,2.0,3.0])
t("dirichlet_multinomial",[near("log_prob(dirichlet_multinomial(10, %s), [2, 3, 5])"%A(a), stats.dirichlet_multinomial(a,10).logpmf(m)),"let x = draw(dirichlet_multinomial(10, %s))"%A(a),"assert near(1.0 * x[2], 5, %.1e)"%se(10*.25*16/7)])
t("dirichlet",[near("log_prob(dirichlet(%s), %s)"%(A(a),A(w)), stats.dirichlet(a).logpdf(w)),near("variance(dirichlet(%s))"%A(a), stats.dirichlet(a).var()),"let x = draw(dirichlet(%s))"%A(a),"assert near(cdf(beta(3, 3), x[2]), 0.5, 0.0042)","assert near(cdf(beta(1, 5), x[0])^2, 0.333333333333333, 0.0044)","let y = draw(dirichlet([0.001, 0.001]))","assert near(y[0], 0.5, 0.0073)"])
t("one_hot",["assert near(log_prob(one_hot([0.2, 0.3, 0.5]), [0, 1, 0]), %r, 1e-11)"%math.log(.3),"let x = draw(one_hot([0.2, 0.3, 0.5]))","assert near(1.0 * x[2], 0.5, 0.0073)","assert near(log_prob(one_hot_logit([0, 1, 2]), [0, 0, 1]), %r, 1e-11)"%float(2-special.logsumexp([0,1,2])),"let y = draw(one_hot_logit([0, 0, 0]))","assert near(1.0 * y[2], %r, 0.0069)"%(1/3)])
print("// Values by SciPy; written by tests/data/distributions/make_vectors.py. Moments of samplers within 4.6 standard errors of 1e5 draws.\n")
print("\n".join(T))
