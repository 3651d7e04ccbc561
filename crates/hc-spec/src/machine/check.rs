//! What the schema alone cannot say about a machine.

use super::{Kind, MachineSpec, SCHEMA, SpecError};
use crate::storage::{Placed, is_plain};
use crate::vm;

impl MachineSpec {
    /// Says what is wrong first.
    pub(super) fn check(&self) -> Result<(), SpecError> {
        let fail = |field, problem: String| {
            Err(SpecError::Field { machine: self.name.clone(), field, problem })
        };
        if self.schema != SCHEMA {
            return fail("schema", format!("is {}, this hc reads {SCHEMA}", self.schema));
        }
        let own = self.command.is_empty() && self.image.manifest.is_some();
        let on_disk = self.kind == Kind::Microvm && self.image.disk.is_some();
        if self.kind != Kind::Q35
            && !on_disk
            && !own
            && self.command.first().is_none_or(String::is_empty)
        {
            return fail("command", "is empty: name a program in the image".into());
        }
        if self
            .command
            .iter()
            .chain(self.env.keys())
            .chain(self.env.values())
            .any(|s| s.contains('\0'))
        {
            return fail("command", "holds a NUL byte".into());
        }
        if let Some(key) = self.env.keys().find(|k| k.is_empty() || k.contains('=')) {
            return fail("env", format!("'{key}' cannot name a variable"));
        }
        for (path, file) in &self.files {
            if !is_plain(path) {
                return fail("files", format!("'{}' is not a plain absolute path", path.display()));
            }
            if file.source.is_some() == file.text.is_some() {
                return fail("files", format!("'{}' needs either source or text", path.display()));
            }
            if file.mode_bits().is_none() {
                return fail(
                    "files",
                    format!("'{}': mode '{}' is not octal", path.display(), file.mode),
                );
            }
        }
        if let Some(dir) = self.workdir.as_ref().filter(|dir| !dir.is_absolute()) {
            return fail("workdir", format!("'{}' is not absolute", dir.display()));
        }
        let mut networks = self.networks.clone();
        networks.sort();
        networks.dedup();
        if networks.len() != self.networks.len() {
            return fail("networks", "names a network twice".into());
        }
        self.check_lan().or_else(|problem| fail("lan", problem))?;
        if self.limits.cpus.is_some_and(|c| !(c.is_finite() && c >= 0.01)) {
            return fail("limits.cpus", "must be at least 0.01".into());
        }
        if self.limits.memory.is_some_and(|m| m < 1 << 20) {
            return fail("limits.memory", "must be at least 1 MiB".into());
        }
        if self.limits.pids == Some(0) {
            return fail("limits.pids", "must be at least 1".into());
        }
        for (field, weight) in [
            ("limits.cpuWeight", self.limits.cpu_weight),
            ("limits.ioWeight", self.limits.io_weight),
        ] {
            if weight.is_some_and(|weight| !(1..=10_000).contains(&weight)) {
                return fail(field, "is between 1 and 10000; others have 100".into());
            }
        }
        if let Some(size) = self.limits.root_size
            && let Err(problem) = vm::check_layer(size)
        {
            return fail("limits.rootSize", problem);
        }
        if self.limits.swap.is_some() && self.limits.memory.is_none() {
            return fail("limits.swap", "goes with limits.memory, and only with it".into());
        }
        if let Some(path) = self.limits.io.keys().find(|path| !is_plain(path)) {
            return fail("limits.io", format!("'{}' is not a plain absolute path", path.display()));
        }
        if let Some(health) = &self.health
            && let Err(problem) = health.question()
        {
            return fail("health", problem);
        }
        let placed = match self.placed() {
            Ok(placed) => placed,
            Err((field, problem)) => return fail(field, problem),
        };
        for path in self.files.keys() {
            let on = placed.iter().find(|(at, what)| {
                path.starts_with(at) && matches!(what, Placed::Bind(_) | Placed::Device(_))
            });
            if let Some((at, _)) = on {
                let (path, at) = (path.display(), at.display());
                return fail("files", format!("'{path}' would be written to the host's {at}"));
            }
        }
        let checked = self.ready.check().and_then(|()| self.check_kind());
        checked.or_else(|(field, problem)| fail(field, problem))
    }
}
