//! Laws that need no interpreter: what is generated is valid, and everything occurs.

use super::coverage::{Coverage, coverage, features};
use super::{Options, case};
use crate::ir::validate::{Form, validate};

#[test]
fn generated_programs_are_valid() {
    for seed in 0..500 {
        for smooth_only in [false, true] {
            for with_sites in [false, true] {
                let case = case(seed, Options { smooth_only, with_sites, all_roles: seed % 2 == 0, size: 20 });
                let form = if with_sites { Form::WithSites } else { Form::Plain };
                let errors = validate(&case.program, form);
                assert!(errors.is_empty(), "seed {seed}: {errors:?}\n{}", crate::ir::print::print(&case.program));
            }
        }
    }
}

#[test]
fn five_hundred_programs_cover_core() {
    let mut counts = Coverage::new();
    for seed in 0..500 {
        coverage(&super::program(seed).0, &mut counts);
    }
    let missing: Vec<String> = features()
        .into_iter()
        .filter(|f| f != "sample" && f != "term" && counts.get(f).copied().unwrap_or(0) < 5)
        .collect();
    assert!(missing.is_empty(), "seldom or never: {missing:?}");
    for seed in 0..20 {
        coverage(&case(seed, Options { with_sites: true, ..Options::default() }).program, &mut counts);
    }
    for feature in features() {
        assert!(counts.contains_key(&feature), "never: {feature}");
    }
}

#[test]
fn the_same_seed_gives_the_same_program() {
    assert_eq!(super::program(7).0, super::program(7).0);
    assert_ne!(super::program(7).0, super::program(8).0);
}

#[test]
fn smooth_programs_cover_what_can_be_differentiated() {
    let mut counts = Coverage::new();
    for seed in 0..500 {
        coverage(&super::smooth_program(seed).0, &mut counts);
    }
    let without = ["sample", "term", "strip", "contract loops", "contract rows", "contract gemm"];
    let missing: Vec<String> = features()
        .into_iter()
        .filter(|f| !without.contains(&f.as_str()) && counts.get(f).copied().unwrap_or(0) < 5)
        .collect();
    assert!(missing.is_empty(), "seldom or never: {missing:?}");
    assert!(without.iter().all(|f| !counts.contains_key(*f)), "only for other programs");
}
