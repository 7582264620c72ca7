//! Which queries are valid, and what the others get. Compared with the grammar and the examples of Tempo's source.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[test]
fn documented_queries_are_valid() {
    for text in [
        "{}",
        "{ }",
        r#"{resource.service.name="x"&&name="a } && {"}"#,
        "{ status = error && kind != server && duration > 100ms && traceDuration <= 1m30s }",
        "{ .die.type = `fair` && span.async.roll_index >= 3 && .die.error = true }",
        "{ .ok }",
        "{ !.ok || true }",
        "{ span.temperature < -1.5 }",
        "{ 3 < .a && maxInt > .b }",
        r#"{ "test" =~ "te.." && "a" < .b }"#,
        r#"{ span."my attr" = 1 && span.a"b c"d = 2 && ."q\"" != nil }"#,
        r#"{ name = "tab\t \x41 \u00e4 \\ \"" }"#,
        "{ duration > 5 && duration > 1.5s && duration < 1d }",
        "{ (.a + 1) * 2 ^ 3 - 4 / .b % 5 = 6 }",
        "{ span:id = \"ab\" && trace:id != \"1\" && span:parentID = \"\" && nestedSetParent = -1 }",
        "{ event:name = \"x\" && link:traceID = \"1\" && instrumentation:version = \"2\" }",
        "{ nil != .a && name != nil && nil = nil }",
        "{ true } && ({ true } || { .a })",
        "({ .a } | count() > 1) || ({ .b } | { .c })",
        "count() = 1 | { true } | max(.a * 2) > 1 - 3",
        "{} | avg(duration) > 1 | min(span:childCount) = 0 | sum(.a) < -1s",
        "select(.a) | select(span.a,name , resource.b)",
        "{} with (most_recent=true)",
        "{}|select(.a)with(a=1, b=\"x\") with (c=error)",
        "{ // a comment\n .a /* and\n another */ = 1 }",
    ] {
        assert_eq!(Query::parse(text).err(), None, "{text}");
    }
}

#[test]
fn invalid_query_error_says_what_was_expected_at_which_character() {
    for (text, expected) in [
        ("garbage", "expected `{`, `(`, select or an aggregate such as count() at character 1, found `garbage`"),
        ("", "expected `{`, `(`, select or an aggregate such as count() at character 1, found nothing"),
        ("{ name = x }", "at character 10, found `x }`"),
        ("{ foo = 1 }", "expected a value or a field (name, duration, span.attribute"),
        (r#"{ name = "a }"#, "expected a text that ends with its quote at character 10, found `\"a }`"),
        (r#"{ name = "\q" }"#, "expected an escape such as \\n at character 12, found `q\" }`"),
        ("{ .a = 1", "expected an operator or `}` at character 9, found nothing"),
        ("{ .a == 1 }", "at character 7, found `= 1 }`"),
        ("{ . = 1 }", "expected the name of an attribute at character 4"),
        ("{ span. }", "expected the name of an attribute at character 8"),
        ("{ (.a }", "expected `)` at character 7, found `}`"),
        ("{ .a = 5x }", "expected an operator after a number"),
        ("{ .a = 99999999999999999999 }", "the number 99999999999999999999 is too large"),
        ("{ ä", "found `ä`"),
        ("{ trace:name = \"a\" }", "expected a value or a field"),
        ("{ parent.a = 1 }", "parent is not supported"),
        ("{ true } }", "expected `|`, `&&`, `||`, `with` or the end of the query at character 10"),
        ("{} | count()", "expected one of = != > >= < <= at character 13"),
        ("{} | count > 1", "expected `(` at character 12"),
        ("{} | max() = 1", "expected a value or a field"),
        ("select()", "expected a value or a field"),
        ("{} with (a)", "expected `=` at character 11"),
        ("{} with ()", "at character 10"),
    ] {
        let error = Query::parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn query_that_can_never_hold_is_refused() {
    for (text, expected) in [
        ("{ name > 5 }", "cannot compare a string with an integer"),
        ("{ status = \"error\" }", "cannot compare a status with a string"),
        ("{ kind = error }", "cannot compare a kind with a status"),
        ("{ duration > \"1s\" }", "cannot compare a duration with a string"),
        ("{ status > ok }", "a status can only be compared with = or !="),
        ("{ true < .a }", "a boolean can only be compared with = or !="),
        ("{ 1 + \"a\" = 1 }", "cannot calculate with a string"),
        ("{ 1 && true }", "&& and || join conditions, not an integer"),
        ("{ !name = \"a\" }", "! needs a condition, not a string"),
        ("{ -name = \"a\" }", "- needs a number, not a string"),
        ("{ name }", "a filter needs a condition, not a string"),
        ("{ nil }", "a filter needs a condition, not nil"),
        ("{ .a > nil }", "nil can only be compared with = or !="),
        ("{ name = nil }", "intrinsics cannot be nil"),
        ("{ nil = resource.service.name }", "resource.service.name cannot be nil"),
        ("{ .a =~ 1 }", "=~ and !~ need a text in quotes on the right"),
        ("{ duration =~ \"1\" }", "=~ and !~ compare strings, not a duration"),
        ("{ .a =~ \"[\" }", "invalid regular expression `[`: unclosed character class"),
        ("{ .a =~ \"a)|(b\" }", "invalid regular expression"),
        ("{ .a !~ \"((a{99}){99}){99}\" }", "invalid regular expression"),
        ("{} | max(name) > 1", "an aggregate needs a numeric field"),
        ("{} | sum(3) > 1", "an aggregate needs a numeric field"),
        ("{} | max(.a) = \"x\"", "an aggregate can only be compared with a number"),
        ("{} | max(.a) > min(.b)", "expected a value or a field"),
        ("{} | rate()", "rate() is not supported by this viewer: it has no metrics queries"),
        ("{} | quantile_over_time(duration, 0.9) by (name)", "quantile_over_time() is not supported"),
        ("{} | by(name)", "by() is not supported by this viewer"),
        ("{} | by(name) | coalesce()", "by() is not supported by this viewer"),
        ("{} >> {}", "`>>` is not supported by this viewer: sets are joined by && and ||"),
        ("{} !~ {}", "`!~` is not supported by this viewer"),
        ("{} &<< {}", "`&<<` is not supported by this viewer"),
        ("{} > {} && {}", "`>` is not supported by this viewer"),
    ] {
        let error = Query::parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn query_that_would_cost_too_much_is_refused() {
    let repeated = |part: &str, count: usize, between: &str| vec![part; count].join(between);
    let conditions = |count| format!("{{ {} }}", repeated(".a = 1", count, " || "));
    assert_eq!(Query::parse(&conditions(127)).err(), None);
    let cases = [
        (conditions(129), "more than 256 fields, values and filters"),
        (conditions(1500), "more than 256 fields, values and filters"),
        (conditions(2500), "more than 16384"),
        (format!("{{ {} .a }}", "!".repeat(15_000)), "more than"),
        (format!("{{ {} 1 = 1 }}", "- ".repeat(7_000)), "more than"),
        (format!("{{ {}", "(".repeat(16_000)), "more than"),
        ("(".repeat(16_000), "more than"),
        (format!("{{ 1 {} = 1 }}", "^ 2".repeat(5_000)), "more than"),
        (repeated("{}", 4_000, "||"), "more than"),
        (repeated("{}", 4_000, "|"), "more than"),
        (format!("{{ {} }}", repeated(".a =~ \"x\"", 17, "&&")), "more than 16 regular expressions"),
        (format!("select({})", repeated(".a", 4_000, ",")), "more than"),
        (format!("{{}} {}", repeated("with (a=1)", 1_500, " ")), "more than"),
    ];
    for (text, expected) in cases {
        let error = Query::parse(&text).err().unwrap_or_else(|| panic!("{}… is valid", &text[..40]));
        assert!(error.contains(expected), "{}…: {error}", &text[..40]);
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_gets_an_error(text in any::<String>()) {
        let _ = Query::parse(&text);
    }

    /// Texts of parts of the grammar go deeper into the parser than random characters.
    #[test]
    fn any_sequence_of_tokens_is_parsed_or_gets_an_error(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "(", ")", "|", "||", "&&", "!", "-", "^", "=", "!=", "=~", "!~", ">", ">>", "~", "+", "*", "/", "%",
            ".a", "span.b", "resource.", "\"x\"", "`y", "\"", "\\", "1", "2.5", "3ms", "nil", "true", "error", "server", "name",
            "duration", "trace:id", "event:", "count()", "max(", "select(", "by(", "rate()", "with", ",", "//", "/*", "ä", "\0", "\n",
        ]), 0..60),
        spaced in any::<bool>(),
    ) {
        let _ = Query::parse(&tokens.join(if spaced { " " } else { "" }));
    }
}

#[test]
fn parse_time_grows_linearly_with_the_length() {
    fn time(text: &str) -> Duration {
        let run = || {
            let start = Instant::now();
            let _ = Query::parse(text);
            start.elapsed()
        };
        (0..20).map(|_| run()).min().expect("twenty runs")
    }
    // Each is one token, or ends in an error only at its end, so that the limits do not stop the parser first.
    let texts: [fn(usize) -> String; 5] = [
        |length| format!("{{ name = \"{}\" }}", "ä".repeat(length / 2)),
        |length| format!("{{ .{} = 1 }}", "a".repeat(length)),
        |length| format!("{{ .a = 1 {} }}", "/**/".repeat(length / 4)),
        |length| format!("{{ .a = {} }}", "1".repeat(length)),
        |length| format!("{{ .a = {}", "1h".repeat(length / 2)),
    ];
    for text in texts {
        let (short, long) = (text(1_000), text(16_000));
        let (short, long) = (time(&short).max(Duration::from_micros(20)), time(&long));
        assert!(long < short * 16 * 8, "16 times the length took {long:?} instead of {short:?}");
    }
}
