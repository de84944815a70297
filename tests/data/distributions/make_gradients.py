# Run: python3 make_gradients.py > ../../stdlib/gradients.ppl
# Each density and distribution function as an objective of its arguments and value: the suite's laws compare its derivatives
# with finite differences, reverse with forward mode, and machine code with the interpreter.
table=[("normal",[.3,.7],[.5]),("half_normal",[.7],[.5]),("lognormal",[.3,.7],[1.5]),("logit_normal",[.3,.7],[.4]),("cauchy",[.3,.7],[2]),("half_cauchy",[.7],[2]),
("student_t",[3.5,.3,.7],[2]),("half_student_t",[3.5,.7],[2]),("laplace",[.3,.7],[2]),("logistic",[.3,.7],[2]),("gumbel",[.3,.7],[2]),("exponential",[.7],[2]),
("gamma",[1.7,.8],[2]),("inverse_gamma",[1.7,.8],[2]),("chi_squared",[3.2],[2]),("inverse_chi_squared",[3.2],[.4]),("weibull",[1.7,.8],[.6]),("frechet",[1.7,.8],[1.2]),("pareto",[.5,1.7],[1.2]),
("beta",[1.7,2.2],[.4]),("beta_proportion",[.3,6],[.4]),("kumaraswamy",[1.7,2.2],[.4]),("uniform",[-.5,1.5],[.4]),("triangular",[-.5,.3,1.5],[.7]),("von_mises",[.4,1.5],[1.1]),("skew_normal",[.3,.7,1.4],[.5]),("exp_mod_normal",[.3,.7,1.4],[.5])]
names="abcdef"
out=[]
for d,args,(x,) in table:
    ps=", ".join(names[:len(args)]); at=", ".join(map(repr,args+[x]))
    lines=[]
    for f in ["log_prob","cdf"]+(["inv_cdf"] if d not in ("skew_normal","exp_mod_normal") else []):
        v = .35 if f=="inv_cdf" else x
        at=", ".join(map(repr,args+[v]))
        if f=="cdf" and d in ():continue
        e="%s(%s(%s), x)"%(f,d,ps)
        lines.append("  assert unbiased(|%s, x| %s, |%s, x| %s, at: (%s))"%(ps,e,ps,e,at))
    out.append('test "%s" {\n%s\n}\n'%(d,"\n".join(lines)))
counts=[("bernoulli",[.3],1),("bernoulli_logit",[.3],1),("binomial",[.3],2),("binomial_logit",[.3],2),("poisson",[1.7],2),("poisson_log",[.3],2),("neg_binomial_2",[1.7,.8],2),("neg_binomial_2_log",[.3,.8],2),("geometric",[.3],2),("beta_binomial",[1.7,.8],2)]
for d,args,x in counts:
    ps=", ".join(names[:len(args)]); n="5, " if d in("binomial","binomial_logit","beta_binomial") else ""
    lines=[]
    for f in ["log_prob","cdf"]:
        if f=="cdf" and d in("bernoulli","bernoulli_logit","beta_binomial"): continue
        e="%s(%s(%s%s), %d)"%(f,d,n,ps,x)
        lines.append("  assert unbiased(|%s| %s, |%s| %s, at: %s)"%(ps,e,ps,e,"(%s)"%", ".join(map(repr,args)) if len(args)>1 else repr(args[0])))
    out.append('test "%s" {\n%s\n}\n'%(d,"\n".join(lines)))
special=[("ordered_logistic","|e, c| log_prob(ordered_logistic(e, c), 1)","(0.3, [-1, 0.2, 1.5])"),("zero_inflated","|w, r| log_prob(zero_inflated(w, poisson(r)), 0) + log_prob(zero_inflated(w, poisson(r)), 2)","(0.3, 1.7)"),
("multinomial","|p| log_prob(multinomial(5, [p, 0.9 - p, 0.1]), [2, 3, 0])","0.4"),("dirichlet","|a, p| log_prob(dirichlet(a), [p, 0.9 - p, 0.1])","([0.5, 1.5, 3], 0.4)"),("dirichlet_multinomial","|a| log_prob(dirichlet_multinomial(5, a), [2, 3, 0])","[0.5, 1.5, 3]"),
("multi_normal_prec","|m, s, x| log_prob(multi_normal_prec(m, [[s, 0.3], [0.3, 1]]), x)","([0.3, 1], 2, [0.1, 0.7])"),("multi_normal_low_rank","|m, F, s, x| log_prob(multi_normal_low_rank(m, F, s), x)","([0.3, 1], [[0.4], [1.2]], [0.5, 0.8], [0.1, 0.7])"),
("multi_student_t","|n, m, s, x| log_prob(multi_student_t(n, m, [[s, 0.3], [0.3, 1]]), x)","(4, [0.3, 1], 2, [0.1, 0.7])"),("wishart","|n, s, x| log_prob(wishart(n, [[s, 0.3], [0.3, 1]]), [[x, -0.2], [-0.2, 1.4]])","(4, 2, 1.3)"),("inverse_wishart","|n, s, x| log_prob(inverse_wishart(n, [[s, 0.3], [0.3, 1]]), [[x, -0.2], [-0.2, 1.4]])","(4, 2, 1.3)"),
("lkj_corr","|e, x| log_prob(lkj_corr(2, e), [[1, x], [x, 1]])","(1.7, 0.3)"),("gaussian_random_walk","|m, s, x| log_prob(gaussian_random_walk(3, m, s), x)","(0.3, 0.7, [0.1, 0.5, 0.2])"),("ar","|m, f, s, x| log_prob(ar(3, m, f, s), x)","(0.3, [0.5, 0.2], 0.7, [0.1, 0.5, 0.2])"),
("truncated","|m, s, x| log_prob(truncated(normal(m, s), -0.5, 1), x)","(0.3, 0.7, 0.4)"),("mixture","|w, m, x| log_prob(mixture([w, 1 - w], |k| normal(m[k], 1)), x)","(0.3, [0.2, 1.5], 0.4)"),("mixture of counts","|w, m| log_prob(mixture([w, 1 - w], |k| poisson(m[k])), 2)","(0.3, [0.7, 1.5])"),("censored","|r| log_prob(censored(exponential(r), 0.5, 2), 2) + log_prob(censored(exponential(r), 0.5, 2), 1)","0.7"),
("owens_t and Bessel","|h, a, k| owens_t(h, a) + log_bessel_i0(k) + bessel_ratio(k)","(0.7, 1.4, 2.5)")]
for d,f,at in special: out.append('test "%s" {\n  assert unbiased(%s, %s, at: %s)\n}\n'%(d,f,f,at))
print("// Densities and distribution functions as objectives of their arguments and value, for the suite's laws of derivatives (reverse,\n// forward, finite differences).\n")
print("\n".join(out))
