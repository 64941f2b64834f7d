//! C programs against the library: the story that every binding tells, and what no program should do, under valgrind.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "../../common/tests/story/mod.rs"]
mod story;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder that cargo built the library into: that of this test.
fn library() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    assert!(folder.join("libhighwater_c.so").exists(), "no library in {}", folder.display());
    folder
}

/// Whether a program is there; if not, the test says so.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: there is no {program} on this machine");
    }
    there
}

/// Compiles a program of `tests/programs` into a folder.
fn compile(name: &str, folder: &Path) -> PathBuf {
    compile_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/programs/{name}.c")), name, folder)
}

fn compile_file(source: &Path, name: &str, folder: &Path) -> PathBuf {
    let (here, library, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), library(), folder.join(name));
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-g", "-pthread"]);
    gcc.arg("-I").arg(here.join("include")).arg(source).arg("-o").arg(&program);
    gcc.arg("-L").arg(&library).arg("-lhighwater_c").arg(format!("-Wl,-rpath,{}", library.display()));
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    program
}

fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_story_is_the_same_in_c() {
    if !cfg!(target_os = "linux") || !is_there("gcc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = compile("story", folder.path());
    story::tell(|arguments| {
        let mut command = Command::new(&program);
        command.args(arguments);
        command
    });
}

#[test]
fn the_first_lines_of_the_page_run() {
    if !cfg!(target_os = "linux") || !is_there("gcc") {
        return;
    }
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bindings.md")).unwrap();
    let listing = page.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("page.c");
    // It must not reach the network: a store alone is enough to show that it runs.
    std::fs::write(&source, listing.replace("\"start\"", "\"streams\"")).unwrap();
    let output =
        Command::new(compile_file(&source, "page", folder.path())).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success() && told(&output).contains("{\"changes\":[]"), "{}", told(&output));
}

#[test]
fn nothing_that_a_program_does_is_more_than_an_error() {
    if !cfg!(target_os = "linux") || !is_there("gcc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = compile("hostile", folder.path());
    let output = Command::new(&program).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn no_memory_is_lost_or_misused() {
    if !cfg!(target_os = "linux") || !is_there("gcc") || !is_there("valgrind") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = compile("hostile", folder.path());
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite,indirect"]);
    valgrind.args(["--errors-for-leak-kinds=definite,indirect", "--fair-sched=yes", "--num-callers=30"]);
    let output = valgrind.arg(&program).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}
