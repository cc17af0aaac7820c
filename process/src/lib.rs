//! Everything that runs agents: the process manager, one supervisor process for each run, the
//! runtimes that know how a kind of agent is started and read, and the transcripts.

pub mod failpoint;
pub mod orders;
pub mod redact;
pub mod runtimes;
pub mod status;
pub mod supervisor;
pub mod transcript;
