//! This program once more, as a process that does one thing, and what such a process has used (Linux).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::{Arguments, Outcome, Role};

/// A process; it ends with this.
pub(crate) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    role: Role,
}

impl Child {
    pub(crate) fn start(role: Role, arguments: &Arguments, file: &Path, address: &str) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--role", role.name(), "--records", &arguments.records.to_string()])
            .arg("--file")
            .arg(file)
            .args(["--address", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        Ok(Child {
            process,
            input: input.ok_or("the process has no input")?,
            output: BufReader::new(output.ok_or("the process has no output")?),
            role,
        })
    }

    /// Reads a line of what it prints.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("{} ended early", self.role.name()).into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Sends it a command, and reads its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Outcome<String> {
        writeln!(self.input, "{command}")?;
        self.line()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> Outcome<()> {
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", self.role.name()).into()) }
    }

    /// Returns the processor time of its threads, to the nanosecond. Threads that have ended do not count.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let spent = std::fs::read_to_string(task?.path().join("schedstat"))?;
            sum += spent.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Returns its resident memory in MB: now (`VmRSS:`), or its peak (`VmHWM:`).
    pub(crate) fn memory(&self, line: &str) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let value = status.lines().find_map(|found| found.strip_prefix(line)).ok_or("the system reports no memory")?;
        Ok(value.split_whitespace().next().unwrap_or("0").parse::<f64>()? * 1024.0 / 1e6)
    }

    /// Counts the peak of its memory from now on.
    pub(crate) fn reset_peak(&self) -> Outcome<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
