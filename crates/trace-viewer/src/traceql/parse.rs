//! The parser of TraceQL; an error says what was expected at which character.

use super::{Condition, Field, INTRINSICS, KINDS, Literal, Operator, Query, STATUSES};

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// What was expected, and at which character.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        parser.expect("{")?;
        let mut conditions = Vec::new();
        if !parser.take("}") {
            conditions.push(parser.condition()?);
            while !parser.take("}") {
                parser.expect("&&")?;
                conditions.push(parser.condition()?);
            }
        }
        if parser.rest().is_empty() { Ok(Self(conditions)) } else { Err(parser.error("the end of the query")) }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.error(&format!("`{token}`"))) }
    }

    fn error(&mut self, expected: &str) -> String {
        let found = self.rest().chars().take(12).collect::<String>();
        let at = self.text[..self.at].chars().count() + 1;
        let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
        format!("expected {expected} at character {at}, found {found}")
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "{}()=!<>&|~,\"`".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let before = self.at;
        let word = self.word();
        let Some(field) = Field::parse(word) else {
            self.at = before;
            let names = INTRINSICS.map(|(name, _)| name).join(", ");
            return Err(self.error(&format!("a field (.attribute, span.attribute, resource.attribute, {names})")));
        };
        let (token, operator) = self.operator()?;
        let before = self.at;
        let value = self.literal(&field)?;
        let ordered = !matches!(value, Literal::Keyword(_) | Literal::Flag(_));
        if !ordered && !["=", "!="].contains(&token) {
            self.at = before;
            return Err(self.error("a value that has an order after this operator"));
        }
        Ok(Condition { field, operator, value })
    }

    fn operator(&mut self) -> Result<(&'static str, Operator), String> {
        // `>=` before `>`, which is a prefix of it.
        let operators: [(_, Operator); 6] = [
            ("!=", Literal::ne),
            (">=", Literal::ge),
            ("<=", Literal::le),
            (">", Literal::gt),
            ("<", Literal::lt),
            ("=", Literal::eq),
        ];
        let is_pattern = self.rest().starts_with("=~");
        let found = operators.into_iter().find(|(token, _)| !is_pattern && self.take(token));
        found.ok_or_else(|| self.error("one of = != > >= < <="))
    }

    fn literal(&mut self, field: &Field) -> Result<Literal, String> {
        let before = self.at;
        let rest = self.rest();
        if rest.starts_with(['"', '`']) {
            let (text, after) = quoted(rest).ok_or_else(|| self.error("a text that ends with its quote"))?;
            self.at = self.text.len() - after.len();
            return Ok(Literal::Text(text));
        }
        let word = self.word();
        let keyword =
            |names: &[&'static str]| names.iter().find(|name| **name == word).map(|name| Literal::Keyword(name));
        let value = match field {
            Field::Status => keyword(&STATUSES),
            Field::Kind => keyword(&KINDS),
            Field::Duration | Field::TraceDuration => duration(word).map(Literal::Duration),
            Field::Name | Field::StatusMessage | Field::RootName | Field::RootServiceName => None,
            Field::Attribute(..) => match word {
                "true" => Some(Literal::Flag(true)),
                "false" => Some(Literal::Flag(false)),
                _ => word.parse().ok().filter(|number: &f64| number.is_finite()).map(Literal::Number),
            },
        };
        value.ok_or_else(|| {
            self.at = before;
            self.error(match field {
                Field::Status => "unset, ok or error",
                Field::Kind => "unspecified, internal, server, client, producer or consumer",
                Field::Duration | Field::TraceDuration => "a duration such as 100ms",
                Field::Attribute(..) => "a text in quotes, a number, true or false",
                _ => "a text in quotes",
            })
        })
    }
}

/// The text in quotes at the start of `text`, and the rest after the closing quote. A backslash escapes the next
/// character, but not in backquotes.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    let quote = chars.next()?;
    loop {
        match chars.next()? {
            c if c == quote => return Some((value, chars.as_str())),
            '\\' if quote == '"' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// A duration in Go's notation (`1.5s`, `1m30s`, `100ms`), in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        let units = &rest[unit_at..];
        let unit = &units[..units.find(|c: char| c.is_ascii_digit()).unwrap_or(units.len())];
        total += number
            * match unit {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &units[unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(text: &str) -> bool {
        Query::parse(text).is_ok()
    }

    #[test]
    fn simple_queries_are_valid() {
        for text in [
            "{}",
            "{ }",
            r#"{ resource.service.name = "x" && name = "y" }"#,
            r#"{resource.service.name="x"&&name="a } && {"}"#,
            "{ status = error }",
            "{ kind != server && duration > 100ms && traceDuration <= 1m30s }",
            r#"{ .die.type = `fair` && span.async.roll_index >= 3 && .die.error = true }"#,
            "{ span.temperature < -1.5 }",
        ] {
            assert_eq!(Query::parse(text).err(), None, "{text}");
        }
    }

    #[test]
    fn invalid_query_error_says_what_was_expected_at_which_character() {
        for (text, expected) in [
            ("garbage", "expected `{` at character 1, found `garbage`"),
            ("", "expected `{` at character 1, found nothing"),
            (r#"{ name =~ "a.*" }"#, r#"expected one of = != > >= < <= at character 8, found `=~ "a.*" }`"#),
            ("{ name = x }", "expected a text in quotes at character 10, found `x }`"),
            ("{ duration > 5 }", "expected a duration such as 100ms at character 14, found `5 }`"),
            (
                "{ status > error }",
                "expected a value that has an order after this operator at character 12, found `error }`",
            ),
            ("{ status = bad }", "expected unset, ok or error at character 12, found `bad }`"),
            (r#"{ name = "a }"#, r#"expected a text that ends with its quote at character 10, found `"a }`"#),
            (r#"{ name = "a" || name = "b" }"#, "expected `&&` at character 14, found `|| name = \"b`"),
            ("{} | count() > 1", "expected the end of the query at character 4, found `| count() > `"),
            ("{ ä", "found `ä`"),
        ] {
            let error = Query::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Query::parse("{ foo = 1 }").expect_err("no field").contains("a field (.attribute"));
        assert!(!is_valid("{ . = 1 }") && !is_valid("{ .a = inf }") && !is_valid("{ .a = 1 &&}"));
    }

    #[test]
    fn quoted_text_may_contain_quotes() {
        let quoted = |text: &str| Query::parse(text).map(|query| query.0[0].value.clone());
        assert_eq!(quoted(r#"{ name = "a\"b\\c" }"#), Ok(Literal::Text(r#"a"b\c"#.to_owned())));
        assert_eq!(quoted(r#"{ name = `a"\b` }"#), Ok(Literal::Text(r#"a"\b"#.to_owned())));
    }

    #[test]
    fn durations_are_parsed_in_go_notation() {
        for (text, nanos) in
            [("100ms", 1e8), ("1.5s", 1.5e9), ("1m30s", 90e9), ("2h", 7200e9), ("7us", 7e3), ("0ns", 0.0)]
        {
            assert_eq!(duration(text), Some(nanos), "{text}");
        }
        for text in ["", "5", "ms", "1x", "-1s", "1.2.3s", "1s5"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
