//! Settings of who else signs checkpoints.

use std::fmt;
use std::str::FromStr;

use execution_ledger_replay::notary::WitnessKey;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::addresses::HttpUrl;
use super::values::{Described, ValueError, as_text};

/// A witness: its public key and where it takes checkpoints, with `@` between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessAt {
    /// Its key.
    pub key: WitnessKey,
    /// Its submission prefix.
    pub url: HttpUrl,
}

as_text!(WitnessAt);

impl Described for WitnessAt {
    fn range() -> String {
        "KEY@URL, a C2SP verifier key of a witness and its submission prefix".to_owned()
    }
}

impl fmt::Display for WitnessAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.url)
    }
}

impl FromStr for WitnessAt {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refused = || {
            ValueError(format!(
                "{text:?} is no witness: give NAME+ID+KEY@https://..., as the witness publishes them"
            ))
        };
        // Neither base64 nor a submission prefix holds an @, but a name may.
        let (key, url) = text.rsplit_once('@').ok_or_else(refused)?;
        Ok(Self { key: key.parse().map_err(|_| refused())?, url: url.parse()? })
    }
}
