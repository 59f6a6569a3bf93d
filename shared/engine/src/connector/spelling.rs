//! Suggestions for misspelled words.

use strsim::damerau_levenshtein;

/// The known word nearest to the written one, if it is close enough to be a typo.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let near = known.into_iter().map(|word| (damerau_levenshtein(&lower, &word.to_lowercase()), word));
    let limit = (written.chars().count() / 3).clamp(1, 3);
    near.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 4] = ["clientId", "clientSecret", "scopes", "extra"];

    #[test]
    fn a_typo_finds_its_word() {
        for (written, meant) in
            [("client_id", "clientId"), ("clientid", "clientId"), ("scope", "scopes"), ("scpoes", "scopes")]
        {
            assert_eq!(nearest(written, KNOWN), Some(meant), "{written}");
        }
    }

    #[test]
    fn an_unrelated_word_finds_nothing() {
        for written in ["audience", "", "x", "clientName"] {
            assert_eq!(nearest(written, KNOWN), None, "{written}");
        }
    }
}
