//! Writes the list of lessons: every folder `lessons/NN-slug`. A list by hand would be a second place to change for each.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=lessons");
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("lessons");
    let out = env::var_os("OUT_DIR").unwrap_or_default();
    let (mut modules, mut list) = (String::new(), String::new());
    let (mut variants, mut starts, mut tests) = (String::new(), String::new(), String::new());
    for slug in names(&root)? {
        let folder = root.join(&slug);
        let module = format!("lesson_{}", slug.replace('-', "_"));
        let text = |file: &str| format!("include_str!({:?})", folder.join(file));
        // Writing into a String cannot fail.
        let _ = writeln!(modules, "#[path = {:?}]\nmod {module};", folder.join("check.rs"));
        let _ = writeln!(
            list,
            "Lesson {{ slug: {slug:?}, readme: {}, exercise: {}, reference: {}, setup: {module}::setup, check: {module}::check }},",
            text("README.md"),
            text("exercise.rs"),
            text("reference.json"),
        );
        let _ = writeln!(tests, "#[test]\nfn {module}() {{\n    prove({slug:?});\n}}");
        for file in names(&folder)? {
            let Some(variant) = file.strip_suffix(".rs").filter(|name| *name != "check") else { continue };
            // In a module of its own with `include!`, because `main` is private to its file.
            let _ = writeln!(
                variants,
                "#[allow(warnings, clippy::all, clippy::disallowed_methods)]\nmod {module}_{variant} {{\n    include!({:?});\n    pub(super) fn start() -> impl std::process::Termination {{ main() }}\n}}",
                folder.join(&file),
            );
            let _ = writeln!(
                starts,
                "Variant {{ slug: {slug:?}, name: {variant:?}, start: || {{ use std::process::Termination as _; {module}_{variant}::start().report() }} }},"
            );
        }
    }
    let list = format!("{modules}\npub(crate) static LESSONS: &[Lesson] = &[\n{list}];\n");
    fs::write(Path::new(&out).join("lessons.rs"), list)?;
    let variants = format!("{variants}\nstatic VARIANTS: &[Variant] = &[\n{starts}];\n{tests}");
    fs::write(Path::new(&out).join("variants.rs"), variants)
}

/// The names in a folder, in their order, but hidden ones.
fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}
