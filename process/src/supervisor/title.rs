//! What people see of a supervisor in the process table.
#![expect(unsafe_code, reason = "argument memory; the block says why it is sound")]

use execution_ledger_domain::{ClaimId, ExecutionId};

/// What stands in the place of an execution and of a claim while there are none: as long as an id.
pub(super) const NOBODY: &str = "------------------------------------";

/// Where this process's arguments lie, so that they can name its run once it has one.
pub(super) struct Title {
    /// Address of the first of the two ids; `None` where it was not found.
    ids: Option<usize>,
}

impl Title {
    /// Of this process, whose last two arguments are [`NOBODY`]. It is a convenience: where it can't
    /// be found, the arguments stay as they are.
    pub fn find() -> Self {
        Self { ids: find() }
    }

    /// Shows the run.
    pub fn show(&self, execution: ExecutionId, claim: ClaimId) {
        let Some(address) = self.ids else { return };
        let ids = format!("{execution}\0{claim}\0");
        if ids.len() != both_bytes() {
            return;
        }
        // SAFETY: `find` read at this address, in this process, two arguments of this length with
        // their terminators. That memory is ours, writable and never given back; the standard
        // library copies arguments when asked for them, so nobody holds a reference to it; and this
        // process has one thread.
        unsafe {
            std::ptr::copy_nonoverlapping(ids.as_ptr(), address as *mut u8, ids.len());
        }
    }
}

fn both_bytes() -> usize {
    2 * (NOBODY.len() + 1)
}

/// Fields 48 and 49 of `/proc/self/stat` say where the arguments begin and end.
fn find() -> Option<usize> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    let start: usize = fields.nth(45)?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let arguments = std::fs::read("/proc/self/cmdline").ok()?;
    let as_expected = arguments.ends_with(format!("{NOBODY}\0{NOBODY}\0").as_bytes());
    (as_expected && end.checked_sub(start) == Some(arguments.len())).then(|| end - both_bytes())
}
