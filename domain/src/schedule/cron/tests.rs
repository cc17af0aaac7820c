//! When expressions come, how they are described, and which are refused.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn cron(text: &str, zone: &str) -> Cron {
    Cron::parse(text, zone).expect(text)
}

/// The ticks after a moment, as local times with their offsets.
fn ticks(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(text, zone);
    let upcoming = cron.upcoming(at(after), count);
    upcoming.iter().map(|tick| cron.local(*tick).format("%m-%d %H:%M %:z").to_string()).collect()
}

#[test]
fn a_daily_time_in_the_spring_gap_comes_right_after_it_in_both_zones() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"]
    );
    assert_eq!(
        ticks("30 2 * * *", "America/New_York", "2026-03-07T06:00:00Z", 3),
        ["03-07 02:30 -05:00", "03-08 03:00 -04:00", "03-09 02:30 -04:00"]
    );
}

#[test]
fn a_daily_time_in_the_autumn_overlap_comes_once_in_both_zones() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
        ["10-24 02:30 +02:00", "10-25 02:30 +02:00", "10-26 02:30 +01:00"]
    );
    assert_eq!(
        ticks("30 1 * * *", "America/New_York", "2026-10-31T05:00:00Z", 3),
        ["10-31 01:30 -04:00", "11-01 01:30 -04:00", "11-02 01:30 -05:00"]
    );
}

#[test]
fn an_interval_goes_on_in_order_through_both_changes_in_both_zones() {
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:10:00Z", 4),
        ["10-25 02:30 +02:00", "10-25 02:00 +01:00", "10-25 02:30 +01:00", "10-25 03:00 +01:00"]
    );
    assert_eq!(
        ticks("*/30 * * * *", "America/New_York", "2026-11-01T05:10:00Z", 4),
        ["11-01 01:30 -04:00", "11-01 01:00 -05:00", "11-01 01:30 -05:00", "11-01 02:00 -05:00"]
    );
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:10:00Z", 3),
        ["03-29 01:30 +01:00", "03-29 03:00 +02:00", "03-29 03:30 +02:00"]
    );
    assert_eq!(
        ticks("*/30 * * * *", "America/New_York", "2026-03-08T06:10:00Z", 3),
        ["03-08 01:30 -05:00", "03-08 03:00 -04:00", "03-08 03:30 -04:00"]
    );
}

#[test]
fn weekdays_go_by_name_by_number_and_sunday_by_0_and_by_7() {
    let sunday = ["11-22 09:00 +00:00", "11-29 09:00 +00:00"];
    for expression in ["0 9 * * 0", "0 9 * * 7", "0 9 * * SUN", "0 9 * * sun", "0 9 * * 0,7"] {
        assert_eq!(ticks(expression, "UTC", "2026-11-21T12:00:00Z", 2), sunday, "{expression}");
    }
    assert_eq!(
        ticks("0 9 * * MON-WED", "UTC", "2026-11-21T12:00:00Z", 3),
        ["11-23 09:00 +00:00", "11-24 09:00 +00:00", "11-25 09:00 +00:00"]
    );
    assert_eq!(ticks("0 9 * * MON#1", "UTC", "2026-11-21T12:00:00Z", 1), ["12-07 09:00 +00:00"]);
    assert_eq!(ticks("0 9 * * FRIL", "UTC", "2026-11-21T12:00:00Z", 1), ["11-27 09:00 +00:00"]);
    assert_eq!(ticks("0 9 L FEB *", "UTC", "2026-11-21T12:00:00Z", 1), ["02-28 09:00 +00:00"]);
}

#[test]
fn the_29th_of_february_comes_and_the_30th_is_refused() {
    assert_eq!(
        cron("0 0 29 2 *", "UTC").next_after(at("2026-11-21T12:00:00Z")),
        Some(at("2028-02-29T00:00:00Z"))
    );
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 31 FEB *"] {
        let refused = Cron::parse(never, "UTC").expect_err(never);
        assert_eq!((refused.field, refused.problem.as_str()), ("cron", "this date never comes"));
    }
    // The other of both days may come: then the expression means what it says.
    assert!(Cron::parse("0 0 30 2 MON", "UTC").is_ok());
}

#[test]
fn what_is_no_expression_is_refused_by_the_name_of_its_field() {
    for (text, told) in [
        ("60 * * * *", "the minute \"60\""),
        ("* 24 * * *", "the hour \"24\""),
        ("* * 0 * *", "the day of the month \"0\""),
        ("* * * 13 *", "the month \"13\""),
        ("* * * * 8", "the day of the week \"8\""),
        ("MON * * * *", "the minute \"MON\""),
        ("* * * * MONDAY", "the day of the week \"MONDAY\""),
        ("* * * FOO *", "the month \"FOO\""),
        ("*/0 * * * *", "the minute \"*/0\""),
        ("*/100 * * * *", "the minute \"*/100\""),
        ("5/10 * * * *", "the minute \"5/10\""),
        ("-5 * * * *", "the minute \"-5\""),
        ("5-2 * * * *", "the minute \"5-2\""),
        (",, * * * *", "an entry of the list is empty"),
        ("1, * * * *", "an entry of the list is empty"),
        ("0 0 * * +MON", "the character '+'"),
        ("0 0 * * \u{1b}", "has no meaning here"),
        ("99999999999999999999 * * * *", "the minute"),
        ("@daily", "must have five fields"),
        ("* * * * * *", "seconds and years are not taken"),
        ("0 * * * * * 2027", "seconds and years are not taken"),
        ("* * * *", "not 4"),
        ("", "not 0"),
        (&"1,".repeat(200), "are the most"),
    ] {
        let refused = Cron::parse(text, "UTC").expect_err(text);
        assert_eq!(refused.field, "cron");
        assert!(refused.problem.contains(told), "{text}: {refused}");
    }
    for zone in ["", "Mars/Olympus", "europe/berlin", "../UTC", &"x".repeat(10_000)] {
        assert_eq!(Cron::parse("* * * * *", zone).expect_err(zone).field, "timezone");
    }
}

#[test]
fn an_expression_is_described_in_words_with_its_zone() {
    let told = cron("30 2 * * MON-FRI", "Europe/Berlin").describe();
    assert_eq!(told, "At 02:30, on weekdays (Europe/Berlin)");
    let days = |days: &str| cron(&format!("0 9 * * {days}"), "UTC").describe();
    assert_eq!(days("0-6"), "At 09:00, every day (UTC)");
    assert_eq!(days("1-5"), "At 09:00, on weekdays (UTC)");
    assert_eq!(days("SAT,SUN"), "At 09:00, at weekends (UTC)");
    assert_eq!(days("1-4"), "At 09:00, on Monday, Tuesday, Wednesday, and Thursday (UTC)");
    assert_eq!(cron("*/20 * * * 1-5", "UTC").describe(), "Every 20 minutes, on weekdays (UTC)");
    let with_day = cron("0 9 13 * 1-5", "UTC").describe();
    assert!(with_day.contains("13") && with_day.contains("Monday"), "{with_day}");
    assert_eq!(cron("* * * * *", "UTC").describe(), "Every minute (UTC)");
    let told = cron("0 9 LW * *", "UTC").describe();
    assert_eq!(told, "At 09:00, on the last weekday of the month (UTC)");
    assert_eq!(tidy("  0   9 *\t* mon "), "0 9 * * mon");
}

/// A field of an expression, or something like it.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => "[0-9]{1,2}",
        2 => "[0-9*/,#LW?-]{1,6}",
        1 => "(MON|SUN|FEB|dec)[-,#L]?[0-9]?",
        1 => "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is given: it is refused, or its ticks come one after the other.
    #[test]
    fn no_expression_breaks_the_parser_or_comes_out_of_order(
        fields in prop::collection::vec(field(), 5),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "x"]),
    ) {
        if let Ok(cron) = Cron::parse(&fields.join(" "), zone) {
            let ticks = cron.upcoming(at("2026-10-20T00:00:00Z"), 20);
            prop_assert!(ticks.windows(2).all(|two| two[0] < two[1]), "{fields:?}: {ticks:?}");
            prop_assert!(!cron.describe().is_empty());
        }
    }
}
