//! A seal against accidents: neither the environment nor the file of a service shows which fault is on. It hides nothing
//! from somebody who reads this file.

const MARK: &str = "sealed:";
const PAD: &[u8] = b"dice mystery";

/// The content of a watched file that switches on `faults` (as `FAULTS` has them) without naming them.
pub fn seal(faults: &str) -> String {
    let hex: String = scrambled(faults.bytes()).map(|byte| format!("{byte:02x}")).collect();
    format!("{MARK}{hex}")
}

/// What [`seal`] was given; none where `content` is not sealed, or not readable.
pub fn unseal(content: &str) -> Option<String> {
    let hex = content.trim().strip_prefix(MARK)?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?;
    String::from_utf8(scrambled(bytes.into_iter()).collect()).ok()
}

/// Whether `content` is meant to be sealed.
pub(crate) fn is_sealed(content: &str) -> bool {
    content.trim_start().starts_with(MARK)
}

/// Twice is the original.
fn scrambled(bytes: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    bytes.zip(PAD.iter().cycle()).map(|(byte, pad)| byte ^ pad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_content_does_not_show_the_name_and_opens_again() {
        let sealed = seal("slow-die=fair:800");
        assert!(sealed.starts_with("sealed:") && !sealed.contains("slow") && is_sealed(&sealed), "{sealed}");
        assert_eq!(unseal(&format!("{sealed}\n")).as_deref(), Some("slow-die=fair:800"));
        for other in ["slow-die", "sealed:xy", "sealed:fff", "sealed:é"] {
            assert_ne!(unseal(other).as_deref(), Some("slow-die"), "{other}");
        }
    }
}
