//! Replay of the history: making the read models anew, saying whether they are what the log says,
//! and taking the whole of it from one ledger to another.

mod compare;
pub mod diff;
mod export;
pub mod history;
mod import;
pub mod notary;
pub mod proof;
pub mod verify;

pub use compare::{CompareError, Comparison, Difference, compare_views};
pub use export::{
    EXPORT_FORMAT, Export, ExportError, ExportFilter, ExportFormat, ExportHeader, ExportProgress,
    ExportTrailer, Exported, export, push_cell,
};
pub use import::{CheckedFile, ImportFileError, Imported, check_file, import};
