//! A file of dice: refused in one line, or every die of it can be rolled and told.
#![no_main]

use die_service::Catalogue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    match Catalogue::parse(json) {
        Err(error) => assert!(!format!("{error:#}").is_empty()),
        Ok(dice) => {
            assert!(!dice.identifiers().is_empty());
            for name in dice.identifiers() {
                let die = dice.find(name).expect("a die of that name");
                assert!(!name.trim().is_empty() && !die.faces.is_empty() && (0.0..=1.0).contains(&die.error_rate));
                let told = serde_json::to_string(die).expect("JSON");
                assert_eq!(serde_json::from_str::<die_service::Specification>(&told).expect("the same die"), *die);
            }
        }
    }
});
