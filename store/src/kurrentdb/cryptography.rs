//! Who chooses the cryptography of TLS for the process.

use std::thread;
use std::time::Duration;

use tokio::time::timeout;

use super::ended::cut;
use super::settings::settings_for_nothing;

/// How long claiming the cryptography may take, in seconds: nothing is waited for in it.
const CLAIM_WAIT_S: u64 = 10;

/// Lets the crate choose the cryptography of TLS for this process, before anybody else does.
///
/// The crate installs a provider for the whole process when its first client is made, and where one
/// is installed already it panics, then and for every further client. So it has to come first; what
/// is installed afterwards is refused, which does no harm. Cheap, and safe to repeat.
///
/// # Errors
/// Says so where another part of the process was first.
pub fn claim_cryptography() -> Result<(), String> {
    static CLAIMED: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    CLAIMED.get_or_init(claimed_cryptography).clone()
}

fn claimed_cryptography() -> Result<(), String> {
    if rustls::crypto::CryptoProvider::get_default().is_some() {
        return Err("this process has chosen its cryptography of TLS already, and the client of \
                    KurrentDB would panic over it"
            .to_owned());
    }
    let claim = || {
        let settings = settings_for_nothing().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let asked = eventstore::operations::Client::new(settings);
            let patience = Duration::from_secs(CLAIM_WAIT_S);
            match timeout(patience, asked.current_selected_node()).await {
                // It was made, and found out that it has no server, as it should.
                Ok(Err(eventstore::Error::GrpcConnectionError(_))) => Ok(()),
                odd => Err(format!("the client of KurrentDB can't be made: {odd:?}")),
            }
        })
    };
    let claimed = thread::Builder::new().name("kurrentdb".to_owned()).spawn(claim);
    let claimed = claimed.map_err(|error| error.to_string())?.join();
    claimed.unwrap_or_else(|cause| Err(format!("the client of KurrentDB: {:?}", cut(&*cause))))
}
