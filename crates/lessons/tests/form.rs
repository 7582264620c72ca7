//! The form of every lesson: its files, their lengths, and what a terminal of 80 columns shows.

#![allow(missing_docs, clippy::unwrap_used)] // a test

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use lessons::Lesson;

fn folder(lesson: &Lesson) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "lessons", lesson.slug].iter().collect()
}

/// The programs of a lesson: name and text.
fn programs(lesson: &Lesson) -> Vec<(String, String)> {
    let files = fs::read_dir(folder(lesson)).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    let programs = named.filter(|(name, _)| name.ends_with(".rs") && name != "check.rs");
    programs.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn lessons_have_numbers_of_their_own_in_sequence() {
    let numbers: Vec<_> = Lesson::all().iter().map(Lesson::number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.first() == Some(&1), "{numbers:?}");
    let names: HashSet<_> = Lesson::all().iter().map(Lesson::name).collect();
    assert_eq!(names.len(), numbers.len());
    for lesson in Lesson::all() {
        for text in [lesson.number().to_string(), lesson.name().to_owned(), lesson.slug.to_owned()] {
            assert_eq!(Lesson::find(&text).unwrap().slug, lesson.slug);
        }
    }
}

#[test]
fn story_is_short_and_fits_a_terminal() {
    for lesson in Lesson::all() {
        let (slug, words) = (lesson.slug, lesson.story().split_whitespace().count());
        assert!((20..=150).contains(&words), "{slug}: the story has {words} words");
        let title = lesson.title().chars().count();
        assert!((1..=50).contains(&title), "{slug}: the title has {title} characters");
        assert!(!lesson.section("Predict").is_empty(), "{slug} has no question");
        let headings: Vec<_> = lesson.readme.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, ["## Predict", "## Links"], "{slug}");
        let links: Vec<_> = lesson.section("Links").lines().collect();
        assert!(!links.is_empty() && links.len() <= 3, "{slug}: {links:?}");
        for link in &links {
            let url = link.strip_prefix("- [").and_then(|link| link.strip_suffix(')')?.split_once("](https://"));
            assert!(url.is_some(), "{slug}: {link}");
        }
        let text = lesson.readme.split("## Links").next().unwrap();
        let long = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{slug}: longer than 80 characters");
    }
}

#[test]
fn folder_holds_the_files_of_a_lesson_and_no_others() {
    for lesson in Lesson::all() {
        for entry in fs::read_dir(folder(lesson)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let usual = ["README.md", "exercise.rs", "solution.rs", "check.rs", "reference.json"].contains(&&*name);
            let variant = ["wrong_", "other_"].iter().any(|prefix| name.starts_with(prefix)) && name.ends_with(".rs");
            assert!(usual || variant, "{}/{name}", lesson.slug);
        }
    }
}

#[test]
fn exercise_is_short_and_says_where_to_change_it() {
    for lesson in Lesson::all() {
        let lines = lesson.exercise.lines().count();
        assert!(lines <= 60, "{}: the exercise has {lines} lines", lesson.slug);
        assert!(lesson.exercise.contains("// TODO") || lesson.exercise.contains(" TODO"), "{}", lesson.slug);
    }
}

#[test]
fn programs_compile_as_a_file_of_the_learner_too() {
    // The proof compiles them with the dependencies of this crate, which are more.
    let names = |manifest: &str| -> HashSet<String> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(manifest);
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_suffix(".workspace = true"));
        lines.map(|name| name.replace('-', "_")).collect()
    };
    let (here, there) = (names("Cargo.toml"), names("../../learning/Cargo.toml"));
    let missing: Vec<_> = here.difference(&there).filter(|name| *name != "learning").collect();
    assert!(missing.len() > 5, "{missing:?}");
    for lesson in Lesson::all() {
        for (name, text) in programs(lesson) {
            let used = missing.iter().find(|missing| {
                let path = format!("{missing}::");
                text.match_indices(&path)
                    .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            });
            assert_eq!(used, None, "{}/{name} uses what learning/Cargo.toml does not have", lesson.slug);
            assert!(!text.contains("//!") && !text.contains("#!["), "{}/{name} is included into a module", lesson.slug);
            assert!(text.contains("fn main()"), "{}/{name}", lesson.slug);
        }
    }
}
