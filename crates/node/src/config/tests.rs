//! The registry as a whole, and changes of several parameters.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use super::*;

#[test]
fn every_default_is_what_new_settings_hold() {
    let settings = Settings::default();
    for parameter in all() {
        let shown = parameter.shape.show(&parameter.default_value());
        assert_eq!(parameter.text(&settings), shown, "{}", parameter.name);
        assert!(parameter.doc.ends_with('.'), "{}", parameter.name);
    }
}

#[test]
fn every_value_can_be_given_back_as_it_was_shown() {
    let settings = Settings::default();
    for parameter in all() {
        let text = parameter.text(&settings);
        let result = put(&settings, &[(parameter.name.as_bytes(), &text)]);
        assert_eq!(result, Ok(()), "{}", parameter.name);
        assert_eq!(parameter.text(&settings), text, "{}", parameter.name);
    }
}

#[test]
fn no_name_is_declared_twice() {
    let names: Vec<_> = all().flat_map(Parameter::names).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
}

#[test]
fn a_change_of_several_parameters_is_made_whole_or_not_at_all() {
    let settings = Settings::default();
    let error = put(&settings, &[(b"maxmemory", b"100mb"), (b"hz", b"fast")]);
    assert_eq!(
        error.expect_err("fast is no number").to_string(),
        "CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into \
         an integer"
    );
    assert_eq!(settings.maxmemory.load(Relaxed), 0);
    assert_eq!(put(&settings, &[(b"MaxMemory", b"100mb"), (b"hz", b"20")]), Ok(()));
    assert_eq!(settings.maxmemory.load(Relaxed), 100 << 20);
    assert_eq!(settings.hz.load(Relaxed), 20);
}

#[test]
fn refusals_have_the_words_of_redis() {
    let settings = Settings::default();
    let cases: [(&str, &str, &str); 8] = [
        ("maxmemory", "abc", "argument must be a memory value"),
        ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
        ("hz", "501", "argument must be between 1 and 500 inclusive"),
        ("save", "1", "Invalid save parameters"),
        ("fsync", "sometimes", "argument(s) must be one of the following: always, everysec, no"),
        ("appendonly", "no", "the log is always written; `fsync no` makes it cheap"),
        ("notify-keyspace-events", "KEA", "there are no keyspace notifications yet"),
        ("port", "7000", "can't set immutable config"),
    ];
    for (name, value, reason) in cases {
        let error = change(&settings, &[(name.as_bytes(), value.as_bytes())], Change::AtRuntime);
        let expected = ConfigError::Refused { name: name.into(), reason: reason.into() };
        assert_eq!(error, Err(expected), "{name} {value}");
    }
    let twice: [(&[u8], &[u8]); 2] = [(b"fsync", b"no"), (b"appendfsync", b"no")];
    assert!(
        put(&settings, &twice).expect_err("twice").to_string().ends_with("duplicate parameter")
    );
    assert_eq!(
        put(&settings, &[(b"foo", b"bar")]).expect_err("foo").to_string(),
        "Unknown option or number of arguments for CONFIG SET - 'foo'"
    );
}

#[test]
fn globs_find_names_and_aliases() {
    let settings = Settings::default();
    let names = |pattern: &str| -> Vec<_> {
        get(&settings, pattern.as_bytes()).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names("appendfsync"), ["appendfsync"]);
    assert_eq!(names("*fsync"), ["fsync", "appendfsync"]);
    assert_eq!(names("MAXMEMORY"), ["maxmemory"]);
    assert!(names("nothing-like-it").is_empty());
}
