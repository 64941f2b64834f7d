//! Every ready template against every fault.

use highwater_testkit::matrix::{Faults, Matrix, natives};

#[test]
fn every_ready_sync_has_a_subject() {
    let templates = highwater_templates::all();
    let subjects: Vec<_> =
        templates.into_iter().map(|template| (template.info().id(), natives::subject(template))).collect();
    let without: Vec<_> = subjects.iter().filter(|(_, subject)| subject.is_none()).map(|(id, _)| id).collect();
    assert!(without.is_empty(), "{without:?}");
    assert!(Faults::all().len() >= 25);
}

#[test]
fn names_of_faults_are_one_of_a_kind_and_each_has_a_source() {
    let faults = Faults::all();
    for fault in faults.iter() {
        let same = faults.iter().filter(|other| other.name() == fault.name()).count();
        assert_eq!(same, 1, "{}", fault.name());
        assert!(fault.source_url().starts_with("https://"), "{}", fault.name());
    }
}

#[test]
fn every_sync_bears_what_a_server_does_now_and_then() {
    let subjects = highwater_templates::all().into_iter().filter_map(natives::subject);
    let report = Matrix::of(subjects).faults(Faults::named("lost-once")).run();
    let violations: Vec<_> = report.violations().collect();
    assert!(violations.is_empty(), "{violations:#?}");
}
