//! Glob patterns as KEYS, SCAN and PSUBSCRIBE read them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.

/// Whether the whole of `text` matches `pattern`, byte by byte.
///
/// Linear in `text` for patterns with one star; a star is only ever retried from the last one, so
/// no pattern takes more than `pattern * text` steps.
#[must_use]
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if t == text.len() {
            return pattern[p..].iter().all(|&byte| byte == b'*');
        }
        if p < pattern.len()
            && let Some(next) = match_one(pattern, p, text[t])
        {
            (p, t) = (next, t + 1);
            continue;
        }
        let Some((star_p, star_t)) = retry else { return false };
        (p, t) = (star_p, star_t + 1);
        retry = Some((star_p, star_t + 1));
    }
}

/// Matches one byte against the element at `at`, and returns where the next element starts.
fn match_one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern[at] {
        b'?' => Some(at + 1),
        b'[' => match_class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

/// Matches a class whose first byte after `[` is at `at`. A class that is not closed ends with the
/// pattern.
fn match_class(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut matched = false;
    loop {
        match pattern[at.min(pattern.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                matched |= escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (low, high) = (from.min(to), from.max(to));
                matched |= (low..=high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                matched |= literal == byte;
                at += 1;
            }
        }
    }
    (matched != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::glob_match;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "aab", false),
            ("[\\]]", "]", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("abc", "ab", false),
            ("ab", "abc", false),
            ("[a", "a", true),
            ("\\", "\\", true),
            ("", "", true),
        ] {
            assert_eq!(
                glob_match(pattern.as_bytes(), text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = b"a*".repeat(40);
        let mut text = vec![b'a'; 4_000];
        text.push(b'b');
        assert!(glob_match(&pattern, &text));
        let mut hopeless = pattern;
        hopeless.push(b'c');
        assert!(!glob_match(&hopeless, &text));
    }
}
