//! `cargo xtask fuzz [--seconds N] [--build] [TARGET...]`: libFuzzer on the stable toolchain.
//!
//! cargo-fuzz is not needed: coverage counters come from stable codegen options, and no sanitizer is
//! used, for all of our code is safe Rust. The corpus grows in `fuzz/corpus`, what broke a target lies
//! in `fuzz/artifacts`; both are cargo-fuzz's own places. With `--build` each target is built with its
//! counters but without optimisation, which takes a third of the time, and is given its seeds alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

const TARGETS: &[&str] =
    &["cursor_token", "canonical_hash", "payload_codec", "json", "answer", "row_codec", "manifest", "interpolation"];

/// Inputs to begin with, for targets that would take long to find the shape.
const SEEDS: &[(&str, &[&[u8]])] = &[
    ("cursor_token", &[b"\x00", b"\x03\x10Z", b"00000000000000000000000000"]),
    ("canonical_hash", &[b"{\"id\":\"a\",\"n\":[1,-2,null,true]}\x00{\"n\":[1,-2,null,true],\"id\":\"\\u0061\"}"]),
    ("payload_codec", &[b"\xc1\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00{}", b"\xe1\x01abcd", b"\"id\":1}"]),
    (
        "json",
        &[
            b"{\"a\":{\"b\":[1,{\"c\":2}]}}\x00/a/b/1/c",
            b"[1,{},\"x\"]\x00{}",
            b"{\"a\":{\"b\":1}}\x00{\"a\":{\"c\":null}}",
        ],
    ),
    ("answer", &[b"{\"data\":{\"items\":[{\"a\":\"\\\"]\"}, 2]}}\x00/data/items/0", b" [1, {\"a\": [true]}, \"x\"] "]),
    ("row_codec", &[b"0123456789012345678901234567890123456789{\"id\":1}"]),
    ("manifest", &[MANIFEST.as_bytes(), b"a: &a [*a]", b"streams: [{$ref: '#/streams/0'}]"]),
    (
        "interpolation",
        &[
            b"{{ config['a'][0] + 1 if record.b is not none else 'x' | upper }}\x00{\"a\":[1],\"b\":null}",
            b"{% if config %}{{ format_datetime(now_utc(), '%Y-%m-%d') }}{% endif %}",
            b"{{ [1, 2] | join(',') }} {{ {'a': 1}.get('a') }} {{ 'a' * 3 }}",
        ],
    ),
];

/// A small whole manifest.
const MANIFEST: &str = "definitions:
  r: {type: HttpRequester, url_base: 'https://x.example', path: '/{{ config.api_key }}'}
streams:
  - type: DeclarativeStream
    name: s
    primary_key: id
    $parameters: {p: 1}
    incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: '2024-01-01', step: P1D, cursor_granularity: P1D}
    retriever:
      requester: {$ref: '#/definitions/r'}
      record_selector: {extractor: {field_path: [data]}, record_filter: {condition: '{{ record.id > 1 }}'}}
      paginator: {type: DefaultPaginator, pagination_strategy: {type: OffsetIncrement, page_size: 2}}
      partition_router: {type: ListPartitionRouter, values: [a, b], cursor_field: k}
";

const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What is for long runs alone.
const LONG_RUNS: &str = "-Ccodegen-units=1 -Clink-dead-code";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut seconds = 60_u32;
    let mut only_build = false;
    let mut targets = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let given = arguments.next().and_then(|text| text.parse().ok());
                seconds = given.ok_or("--seconds wants a number")?;
            }
            "--build" => only_build = true,
            name if TARGETS.contains(&name) => targets.push(name.to_owned()),
            other => return Err(format!("no target {other:?}; there are {}", TARGETS.join(", "))),
        }
    }
    if targets.is_empty() {
        targets = TARGETS.iter().map(|name| (*name).to_owned()).collect();
    }
    let binaries = build(only_build)?;
    println!("{:16} {:>12} {:>10} result", "target", "executions", "seconds");
    let mut broken = Vec::new();
    for target in &targets {
        let executed = if only_build { seeds(&binaries, target) } else { fuzz(&binaries, target, seconds) };
        match executed {
            Ok(executions) if only_build => println!("{target:16} {executions:>12} {:>10} ok", "-"),
            Ok(executions) => println!("{target:16} {executions:>12} {seconds:>10} ok"),
            Err(reason) => {
                println!("{target:16} {:>12} {:>10} BROKEN", "-", "-");
                broken.push(format!("{target}: {reason}"));
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).to_owned()
}

/// Builds every target; the folder they are in. `quick` is for builds that are not to find anything.
fn build(quick: bool) -> Result<PathBuf, String> {
    let version = process::capture({
        let mut rustc = Command::new("rustc");
        rustc.arg("-vV");
        rustc
    })?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?.to_owned();
    let folder = root().join("target/fuzz");
    // With a target named, build scripts and macros are built without the counters.
    let mut cargo = process::cargo(&["build", "--quiet", "--locked", "--bins", "--target", &host]);
    cargo.args(["--manifest-path", "fuzz/Cargo.toml"]).env("CARGO_TARGET_DIR", &folder);
    let profile = if quick {
        cargo.env("RUSTFLAGS", COVERAGE);
        "debug"
    } else {
        cargo.arg("--release").env("RUSTFLAGS", format!("{COVERAGE} {LONG_RUNS}"));
        "release"
    };
    process::run(&mut cargo)?;
    Ok(folder.join(host).join(profile))
}

/// Runs a target; how many inputs it was given.
fn fuzz(binaries: &Path, target: &str, seconds: u32) -> Result<u64, String> {
    let corpus = root().join("fuzz/corpus").join(target);
    write_seeds(&corpus, target)?;
    let mut command = Command::new(binaries.join(target));
    command.arg(corpus).arg(format!("-max_total_time={seconds}"));
    execute(command, target)
}

/// Gives a target its seeds and an empty input, each once; how many there were.
fn seeds(binaries: &Path, target: &str) -> Result<u64, String> {
    let mut command = Command::new(binaries.join(target));
    let folder = std::env::temp_dir().join(format!("highwater-seeds-{}-{target}", std::process::id()));
    write_seeds(&folder, target)?;
    command.arg(&folder).arg("-runs=0");
    let outcome = execute(command, target);
    let _ = fs::remove_dir_all(&folder);
    outcome
}

fn write_seeds(folder: &Path, target: &str) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (number, seed) in SEEDS.iter().filter(|(name, _)| *name == target).flat_map(|(_, seeds)| *seeds).enumerate() {
        let path = folder.join(format!("seed-{number}"));
        fs::write(&path, seed).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn execute(mut command: Command, target: &str) -> Result<u64, String> {
    let artifacts = root().join("fuzz/artifacts").join(target);
    fs::create_dir_all(&artifacts).map_err(|error| format!("{}: {error}", artifacts.display()))?;
    let output = command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-timeout=10", "-max_len=4096"])
        .output()
        .map_err(|error| format!("{target}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let end: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        return Err(end[end.len().saturating_sub(40)..].join("\n"));
    }
    let executed = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    executed.and_then(|number| number.trim().parse().ok()).ok_or_else(|| "libFuzzer gave no statistics".to_owned())
}
