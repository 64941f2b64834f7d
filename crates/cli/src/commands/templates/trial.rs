//! `highwater templates trial`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use highwater::declarative::replay::read_manifest;
use highwater::declarative::{Files, Manifest, Registry, templates};
use highwater::template::Template;
use highwater::{Error, ErrorKind, Result};
use highwater_testkit::matrix::{Cell, Faults, Matrix, MatrixReport, Outcome, Subject, natives, recorded};
use serde_json::json;

use super::super::account;
use crate::args::values::at_least_one;
use crate::output::{Output, counted};

#[derive(Debug, Args)]
pub(crate) struct TrialOptions {
    /// A template, such as `github/issues`, or a provider; or a manifest, with `--cassette`.
    #[arg(required_unless_present_any = ["all", "faults"])]
    template: Option<String>,
    /// Try every template.
    #[arg(long, conflicts_with = "template")]
    all: bool,
    /// Only the fault of this name, or the faults whose names begin so: `redirect`, `limit-429`.
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
    /// A manifest's recorded exchanges: the sound API that the faults are laid over.
    #[arg(long, value_name = "FILE", requires = "template")]
    cassette: Option<PathBuf>,
    /// List the faults.
    #[arg(long)]
    faults: bool,
    /// Print the matrix as a page of Markdown.
    #[arg(long)]
    markdown: bool,
    /// How many syncs are tried at a time.
    #[arg(long, default_value = "2", value_parser = at_least_one)]
    jobs: usize,
}

pub(crate) fn run(options: &TrialOptions, output: &Output) -> Result<()> {
    let faults = faults(options.fault.as_deref())?;
    if options.faults {
        for fault in faults.iter() {
            output.object(
                "fault",
                &json!({ "fault": fault.name(), "about": fault.about(), "source": fault.source_url() }),
            );
            output.line(format!("{:22} {}", fault.name(), fault.about()));
        }
        return Ok(());
    }
    let subjects = subjects(options, output)?;
    let quiet = options.markdown;
    let teller = *output;
    let report =
        Matrix::of(subjects).faults(faults).threads(options.jobs).watch(move |cell| tell(cell, &teller, quiet)).run();
    if options.markdown {
        output.raw(report.markdown().as_bytes());
    } else {
        end(&report, output);
    }
    match report.violations().count() {
        0 => Ok(()),
        violations => Err(Error::new(ErrorKind::Remote, "the trial found violations: the lines above name each")
            .with("violations", violations)),
    }
}

fn faults(name: Option<&str>) -> Result<Faults> {
    let Some(name) = name else { return Ok(Faults::all()) };
    let faults = Faults::named(name);
    if faults.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no such fault: list them with --faults").with("fault", name));
    }
    Ok(faults)
}

fn subjects(options: &TrialOptions, output: &Output) -> Result<Vec<Subject>> {
    let wanted = options.template.as_deref().unwrap_or_default();
    if Path::new(wanted).exists() || options.cassette.is_some() {
        return of_manifest(Path::new(wanted), options.cassette.as_deref(), output);
    }
    let all = highwater::templates::all();
    let fits = |template: &Arc<dyn Template>| {
        let id = template.info().id();
        options.all || id == wanted || template.info().provider.name == wanted
    };
    let subjects: Vec<Subject> =
        all.iter().filter(|template| fits(template)).cloned().filter_map(natives::subject).collect();
    if subjects.is_empty() {
        return Err(account::no_such_template(wanted, all.iter().map(|template| template.info())));
    }
    Ok(subjects)
}

/// The streams of a manifest that its recorded exchanges suffice for.
fn of_manifest(file: &Path, cassette: Option<&Path>, output: &Output) -> Result<Vec<Subject>> {
    let Some(cassette) = cassette else {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a manifest is tried over recorded exchanges of its API: give them with --cassette",
        ));
    };
    let manifest = if file.is_dir() {
        read_manifest(file, &Registry::new())?
    } else {
        let text = std::fs::read_to_string(file).map_err(|source| {
            Error::new(ErrorKind::NotFound, "the manifest cannot be read: check the path")
                .with("file", file.display())
                .because(source)
        })?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Manifest::parse(&text, &Files::of_folder(folder)?)?
    };
    let name = cassette.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let provider = name.split('.').next().unwrap_or("manifest");
    let recordings = recorded::Recordings::read(cassette)?;
    let mut subjects = Vec::new();
    for template in templates(provider, &manifest)? {
        let id = template.info().id();
        match recordings.subject(template).map(|subject| (subject.check(), subject)) {
            Some((Ok(()), subject)) => subjects.push(subject),
            Some((Err(what), _)) => output.note(format!("{id}: not tried: {what}")),
            None => output.note(format!("{id}: not tried: it has no recorded records with a member `id`")),
        }
    }
    if subjects.is_empty() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "no stream of the manifest can be tried: the notes above say why",
        )
        .with("cassette", cassette.display()));
    }
    Ok(subjects)
}

/// A line for each cell as soon as it is done.
fn tell(cell: &Cell, output: &Output, quiet: bool) {
    if quiet {
        return;
    }
    output.object("trial", cell);
    match &cell.outcome {
        Outcome::Violated { violations } => {
            for violation in violations {
                output.line(format!("{} {}: {}: {}", cell.sync, cell.fault, violation.invariant, violation.what));
            }
        }
        Outcome::NotApplicable { reason } if !output.json => {
            output.note(format!("{} {}: n/a, {reason}", cell.sync, cell.fault))
        }
        _ if !output.json => output.note(format!("{} {}: held", cell.sync, cell.fault)),
        _ => {}
    }
}

fn end(report: &MatrixReport, output: &Output) {
    let (ran, skipped) = report.counts();
    output.object(
        "trial_total",
        &json!({
            "syncs": report.syncs().len(), "faults": report.faults().len(), "cells": ran, "not_applicable": skipped,
            "violations": report.violations().count(),
        }),
    );
    output.line(format!("{} tried, {skipped} not applicable", counted(ran, "cell")));
    output.line(report.summary());
}
