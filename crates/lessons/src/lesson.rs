//! What a lesson is made of.

use crate::run::Run;
use crate::setup::{Random, Setup};
use crate::steps::Steps;

include!(concat!(env!("OUT_DIR"), "/lessons.rs"));

/// A folder of `lessons/`, compiled in.
#[derive(Debug)]
pub struct Lesson {
    /// The name of its folder, such as `03-await-in-a-loop`.
    pub slug: &'static str,
    /// What the learner reads.
    pub readme: &'static str,
    /// What the learner changes.
    pub exercise: &'static str,
    /// The trace of the solution, in OTLP's JSON.
    pub reference: &'static str,
    /// What a run needs, with values that differ each time.
    pub(crate) setup: fn(&mut Random) -> Setup,
    /// The statements about a run.
    pub(crate) check: fn(&Run, &mut Steps<'_>),
}

impl Lesson {
    /// All lessons, by their numbers.
    pub fn all() -> &'static [Self] {
        LESSONS
    }

    /// The lesson of a number, or of the name of its folder with or without the number.
    pub fn find(text: &str) -> Option<&'static Self> {
        let number = text.parse::<u16>().ok();
        let wanted = |lesson: &&Self| {
            number.map_or(lesson.slug == text || lesson.name() == text, |number| lesson.number() == number)
        };
        LESSONS.iter().find(wanted)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        let digits = self.slug.split('-').next().unwrap_or_default();
        digits.parse().unwrap_or_default() // tests/form.rs: each has one
    }

    /// Its name without the number.
    pub fn name(&self) -> &'static str {
        self.slug.split_once('-').map_or(self.slug, |(_, name)| name)
    }

    /// The name of the learner's program: cargo allows no `-` in the name of a crate.
    pub fn target(&self) -> String {
        self.slug.replace('-', "_")
    }

    /// The first heading.
    pub fn title(&self) -> &'static str {
        self.readme.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// What is read before the exercise.
    pub fn story(&self) -> &'static str {
        let from = self.readme.find('\n').unwrap_or(0);
        let to = self.readme.find("\n## ").unwrap_or(self.readme.len());
        self.readme[from..to].trim()
    }

    /// The text of a section, such as `Predict`; empty where there is none.
    pub fn section(&self, heading: &str) -> &'static str {
        let mut sections = self.readme.split("\n## ").skip(1);
        let found = sections.find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'));
        found.unwrap_or_default().trim()
    }
}
