//! Names of other systems (Stan, Pyro, NumPy, R), and what they are called here.

/// What to write for a name that other systems know.
pub fn meant(name: &str) -> Option<String> {
    if let Some((_, here)) = CALLED.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)) {
        return Some(format!("it is called `{here}` here"));
    }
    WRITTEN.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, how)| (*how).to_owned())
}

/// (name elsewhere in any case, name here).
const CALLED: &[(&str, &str)] = &[
    ("gaussian", "normal"),
    ("rnorm", "normal"),
    ("halfnormal", "half_normal"),
    ("halfcauchy", "half_cauchy"),
    ("studentt", "student_t"),
    ("inv_gamma", "inverse_gamma"),
    ("inversegamma", "inverse_gamma"),
    ("double_exponential", "laplace"),
    ("multivariate_normal", "multi_normal"),
    ("multivariatenormal", "multi_normal"),
    ("mvnormal", "multi_normal"),
    ("neg_binomial", "neg_binomial_2"),
    ("negativebinomial2", "neg_binomial_2"),
    ("lkj", "lkj_corr_cholesky"),
    ("lkjcholesky", "lkj_corr_cholesky"),
    ("bernoulli_logits", "bernoulli_logit"),
    ("categorical_logits", "categorical_logit"),
    ("zip", "zero_inflated"),
    ("zeroinflatedpoisson", "zero_inflated"),
    ("ln", "log"),
    ("logsumexp", "log_sum_exp"),
    ("len", "length"),
    ("gammaln", "lgamma"),
    ("loggamma", "lgamma"),
    ("print", "inspect"),
    ("concatenate", "concat"),
    ("append", "concat"),
    ("autonormal", "mean_field"),
    ("autodiagonalnormal", "mean_field"),
    ("autofullrank", "full_rank"),
    ("automultivariatenormal", "full_rank"),
    ("fullrank", "full_rank"),
    ("meanfield", "mean_field"),
    ("trace_elbo", "elbo"),
];

/// (name elsewhere in any case, how it is written here).
const WRITTEN: &[(&str, &str)] = &[
    ("matmul", "write `a @ b`"),
    ("target", "write `factor e` to add to the log density"),
    ("sample", "write `x ~ normal(0, 1)`"),
    ("pyro", "write `x ~ normal(0, 1)`"),
    ("numpyro", "write `x ~ normal(0, 1)`"),
    ("np", "functions have no prefix: `exp(x)`"),
    ("jnp", "functions have no prefix: `exp(x)`"),
    ("torch", "functions have no prefix: `exp(x)`"),
    ("range", "write `for i in 0..n { … }`"),
    ("true", "write `true`"),
    ("false", "write `false`"),
    ("none", "missing values are of type `real?[n]`; test them with `is_missing(y[i])`"),
    ("nan", "missing values are of type `real?[n]`; test them with `is_missing(y[i])`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_exists() {
        for (there, here) in CALLED {
            let known = super::super::native::names().chain(super::super::library::names()).any(|n| n == *here);
            assert!(known, "{there} is said to be {here}");
            let own = super::super::native::names().chain(super::super::library::names()).any(|n| n == *there);
            assert!(!own, "{there} has a meaning of its own");
        }
        assert!(meant("HalfNormal").is_some_and(|fix| fix.contains("half_normal")) && meant("mu").is_none());
    }
}
