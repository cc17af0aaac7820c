//! What a file may say, and how what is wrong in it is named.

use super::*;

const FILE: &str = r#"{
    "facilitator": "http://127.0.0.1:4022",
    "assets": {"usdc": {
        "network": "eip155:8453", "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "pay_to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "eip712_name": "USD Coin", "eip712_version": "2", "decimals": 6
    }},
    "agents": {"demo": {"price": {"usdc": "0.01"}}}
}"#;

fn checked(change: impl FnOnce(&mut serde_json::Value)) -> Result<Selling, ConfigError> {
    let mut json = serde_json::from_str(FILE).expect("JSON");
    change(&mut json);
    let file: PaidFile = serde_json::from_value(json).expect("the file's form");
    file.checked(|_| Ok("Bearer secret\n".to_owned()))
}

#[test]
fn a_price_is_told_in_the_tokens_smallest_unit_and_addresses_in_lower_case() {
    let selling = checked(|_| {}).expect("a good file");
    let demo = &selling.agents[&AgentName::new("demo").expect("a name")];
    assert_eq!(demo.prices[0].amount, "10000");
    assert_eq!(demo.prices[0].asset.pay_to, "0x209693bc6afc0c5328ba36faf03c514ef312287c");
    for (text, decimals, units) in [
        ("1", 0, Some("1")),
        ("0.000001", 6, Some("1")),
        ("12.5", 18, Some("12500000000000000000")),
        ("0.0000001", 6, None),
        ("0", 6, None),
        ("0.0", 6, None),
        ("-1", 6, None),
        ("1.", 6, None),
        (".5", 6, None),
        ("1e3", 6, None),
        ("", 6, None),
        ("1000000000000000000000000000000000", 6, None),
    ] {
        assert_eq!(smallest_units(text, decimals).ok().as_deref(), units, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_place_in_the_file() {
    let usdc = |json: &mut serde_json::Value, part: &str, value: &str| {
        json["assets"]["usdc"][part] = value.into();
    };
    let field = |change: &dyn Fn(&mut serde_json::Value)| {
        checked(|json| change(json)).expect_err("a wrong file").field
    };
    assert_eq!(field(&|json| usdc(json, "network", "base")), "assets.usdc.network");
    assert_eq!(field(&|json| usdc(json, "pay_to", "0x12")), "assets.usdc.pay_to");
    assert_eq!(field(&|json| usdc(json, "rpc_url", "ftp://x")), "assets.usdc.rpc_url");
    let deep = |json: &mut serde_json::Value| {
        json["assets"]["usdc"]["confirmations"] = 1_001.into();
    };
    assert_eq!(field(&deep), "assets.usdc.confirmations");
    assert_eq!(field(&|json| json["facilitator"] = "x".into()), "facilitator");
    let with_name = |json: &mut serde_json::Value| {
        json["facilitator"] = "https://user:secret@host".into();
    };
    assert_eq!(field(&with_name), "facilitator");
    let price = |json: &mut serde_json::Value| {
        json["agents"]["demo"]["price"] = serde_json::json!({"dai": "1"});
    };
    assert_eq!(field(&price), "agents.demo.price.dai");
    let long = |json: &mut serde_json::Value| json["agents"]["demo"]["valid_for_s"] = 1.into();
    assert_eq!(field(&long), "agents.demo.valid_for_s");
    let no_agents = |json: &mut serde_json::Value| json["agents"] = serde_json::json!({});
    assert_eq!(field(&no_agents), "agents");
}

#[test]
fn a_secret_is_read_where_the_file_says_and_never_shown() {
    let selling = checked(|json| {
        json["facilitator_authorization"] = serde_json::json!({"variable": "TOKEN"});
    });
    let selling = selling.expect("a good file");
    assert!(!format!("{selling:?}").contains("secret"));
    assert!(selling.authorization.is_some_and(|value| value == "Bearer secret"));
}
