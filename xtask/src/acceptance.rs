//! `cargo xtask acceptance [NAME...]`: the proofs that take longer than a run of CI may. Run them before a release, on a
//! machine with nothing else to do; each ends with its own figures.

use std::process::Command;
use std::time::Instant;

use crate::process::{self, cargo};

/// A proof: its name, what it shows, and the commands of it, in order.
struct Proof {
    name: &'static str,
    shows: &'static str,
    commands: fn() -> Vec<Command>,
}

const PROOFS: &[Proof] = &[
    Proof { name: "simulation", shows: "10,000 seeds of the simulation reach every hazard", commands: simulation },
    Proof { name: "trial", shows: "every template bears every fault of an API, optimised build", commands: trial },
    Proof { name: "kills", shows: "nothing acknowledged is lost to SIGKILL, and nothing told twice", commands: kills },
    Proof { name: "cases", shows: "every test, with random cases that are drawn anew", commands: cases },
    Proof { name: "damage", shows: "flipped bytes are found in every store", commands: damage },
    Proof {
        name: "sign-in",
        shows: "sign-ins at a provider of others and in a browser; 200 refreshes in two processes",
        commands: sign_in,
    },
    Proof { name: "dashboard", shows: "a browser walks through the dashboard's pages", commands: dashboard },
    Proof { name: "tauri", shows: "the desktop example in a real window: nothing is lost to an end", commands: tauri },
    Proof {
        name: "api",
        shows: "schemathesis finds no answer that the OpenAPI document does not describe",
        commands: api,
    },
    Proof { name: "keychain", shows: "the vault's key lies in a real Secret Service", commands: keychain },
    Proof { name: "fuzz", shows: "every fuzz target for 20 seconds", commands: fuzz },
    Proof { name: "features", shows: "the facade compiles with each feature alone", commands: features },
    Proof { name: "targets", shows: "the command compiles for Windows and macOS, with a keychain", commands: targets },
    Proof { name: "size", shows: "no feature set costs a host more than its limits", commands: size },
    Proof { name: "embed", shows: "the stores resolve beside other users of SQLite", commands: embed },
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.iter().find(|name| PROOFS.iter().all(|proof| proof.name != **name)) {
        let names: Vec<&str> = PROOFS.iter().map(|proof| proof.name).collect();
        return Err(format!("no proof {unknown:?}; there are {}", names.join(", ")));
    }
    let mut failed = Vec::new();
    for proof in PROOFS.iter().filter(|proof| arguments.is_empty() || arguments.iter().any(|name| name == proof.name)) {
        println!("== {}: {}", proof.name, proof.shows);
        let began = Instant::now();
        let outcome = (proof.commands)().iter_mut().try_for_each(process::run);
        let seconds = began.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("== {}: holds ({seconds} s)\n", proof.name),
            Err(reason) => {
                println!("== {}: FAILED ({seconds} s): {reason}\n", proof.name);
                failed.push(proof.name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn simulation() -> Vec<Command> {
    vec![cargo(&["run", "--release", "--quiet", "-p", "highwater-sim", "--", "--seeds", "10000", "--all-hazards"])]
}

fn trial() -> Vec<Command> {
    vec![cargo(&["run", "--release", "--quiet", "-p", "highwater-cli", "--", "templates", "trial", "--all"])]
}

fn kills() -> Vec<Command> {
    let mut stores = cargo(&["test", "--quiet", "--test", "processes", "--test", "kills"]);
    stores.env("HIGHWATER_TEST_COMMITS", "2000").env("HIGHWATER_TEST_KILLS", "60");
    let mut accounts = cargo(&["test", "--quiet", "--test", "connection_kills"]);
    accounts.env("HIGHWATER_TEST_KILLS", "1000");
    let mut engine =
        cargo(&["test", "--quiet", "-p", "highwater-engine", "--test", "crash", "--test", "crash_webhooks"]);
    engine.env("HIGHWATER_KILLS", "100");
    vec![stores, accounts, engine]
}

fn cases() -> Vec<Command> {
    let mut command = cargo(&["xtask", "test"]);
    command.env_remove("PROPTEST_RNG_SEED").env_remove("HIGHWATER_TEST_SEED");
    vec![command]
}

fn damage() -> Vec<Command> {
    let mut command = cargo(&["test", "--quiet", "--test", "damage"]);
    command.env("HIGHWATER_TEST_FLIPS", "1500");
    vec![command]
}

fn targets() -> Vec<Command> {
    vec![cargo(&["xtask", "targets"])]
}

fn sign_in() -> Vec<Command> {
    let features = "vault,browser,encryption,zstd,keychain";
    let mut command =
        cargo(&["test", "--quiet", "--features", features, "--test", "sign_in_provider", "--", "--nocapture"]);
    command.env("HIGHWATER_TEST_PROVIDER", "1").env("HIGHWATER_TEST_REFRESHES", "200");
    let mut story =
        cargo(&["test", "--quiet", "-p", "highwater-cli", "--test", "sign_in_provider", "--", "--nocapture"]);
    story.env("HIGHWATER_TEST_PROVIDER", "1").env("HIGHWATER_TEST_REFRESHES", "20");
    vec![command, story]
}

/// Leaves the pages' pictures in `target/tmp/dashboard/pictures`.
fn dashboard() -> Vec<Command> {
    let mut walk =
        cargo(&["test", "--quiet", "-p", "highwater-server", "--test", "dashboard_browser", "--", "--nocapture"]);
    walk.env("HIGHWATER_TEST_DASHBOARD", "1");
    vec![walk]
}

/// Needs the Debian packages `libwebkit2gtk-4.1-dev`, `librsvg2-dev`, `xvfb`, `xauth` and `dbus`, and says so where they are missing. Leaves
/// pictures of the window in `target/tauri/tmp/desktop`.
fn tauri() -> Vec<Command> {
    let there = |program: &str, arguments: &[&str]| process::succeeds(Command::new(program).args(arguments));
    if !there("pkg-config", &["--exists", "webkit2gtk-4.1", "librsvg-2.0"]) {
        println!("skipped: WebKit's libraries are missing (libwebkit2gtk-4.1-dev, librsvg2-dev)");
        return Vec::new();
    }
    let target = |manifest: &'static str| ["--manifest-path", manifest, "--target-dir", "target/tauri"];
    let plugin = cargo(&[&["test", "--quiet", "--locked"][..], &target("bindings/tauri/Cargo.toml")].concat());
    let example = target("examples/desktop/Cargo.toml");
    let build = cargo(&[&["test", "--quiet", "--locked", "--features", "e2e", "--no-run"][..], &example].concat());
    let mut commands = vec![plugin, build];
    if !there("xvfb-run", &["--help"]) || !there("dbus-run-session", &["--version"]) {
        println!("skipped: the window, without xvfb-run and dbus-run-session (xvfb, xauth, dbus)");
        return commands;
    }
    let run =
        cargo(&[&["test", "--quiet", "--locked", "--features", "e2e"][..], &example, &["--", "--nocapture"]].concat());
    let mut window = Command::new("dbus-run-session");
    window.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    window.args(["--", "xvfb-run", "-a", "-s", "-screen 0 1440x1000x24"]).arg(run.get_program()).args(run.get_args());
    commands.push(window);
    commands
}

/// Needs PyPI.
fn api() -> Vec<Command> {
    let mut command = cargo(&["test", "--quiet", "-p", "highwater-cli", "--test", "schemathesis", "--", "--nocapture"]);
    command.env("HIGHWATER_TEST_SCHEMATHESIS", "600");
    vec![command]
}

/// Needs the Debian packages `dbus` and `gnome-keyring`.
fn keychain() -> Vec<Command> {
    let manifest = ["--manifest-path", "tests/secret_service/Cargo.toml", "--target-dir", "target/secret-service"];
    let build = cargo(&[&["build", "--quiet"][..], &manifest].concat());
    let mut session = Command::new("dbus-run-session");
    let unlock = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null";
    let check = "target/secret-service/debug/secret-service-check";
    session.args(["--", "sh", "-c", &format!("{unlock} && {check}")]);
    let command = cargo(&[
        "test",
        "--quiet",
        "-p",
        "highwater-cli",
        "--features",
        "keychain",
        "--test",
        "keychain",
        "--",
        "--nocapture",
    ]);
    vec![build, session, command]
}

fn fuzz() -> Vec<Command> {
    vec![cargo(&["xtask", "fuzz", "--seconds", "20"])]
}

fn features() -> Vec<Command> {
    let alone = |package, features| {
        let facade = ["clippy", "--locked", "--quiet", "-p", package, "--no-default-features", "--features", features];
        cargo(&[&facade[..], &["--", "-D", "warnings"]].concat())
    };
    let facade = [
        "",
        "sqlite",
        "bundled",
        "redb",
        "sled",
        "template",
        "engine",
        "http",
        "jwt",
        "templates",
        "declarative",
        "provider-files",
        "encryption",
        "zstd",
        "vault",
        "keychain",
        "sign-in",
        "browser",
        "server",
    ];
    let others = [("highwater-engine", ""), ("highwater-cli", "keychain")];
    facade.map(|feature| ("highwater", feature)).into_iter().chain(others).map(|(name, set)| alone(name, set)).collect()
}

fn size() -> Vec<Command> {
    vec![cargo(&["xtask", "size"])]
}

fn embed() -> Vec<Command> {
    vec![cargo(&["xtask", "embed-check"])]
}
