//! The words of the pages in all languages, one row each. Connectors' titles and descriptions are shown as written.

use super::Language;

/// Words in all languages, with `{}` in place of each value.
#[derive(Clone, Copy, Debug)]
pub struct Words([&'static str; Language::ALL.len()]);

impl Words {
    /// Returns the words in a language.
    pub fn say(self, language: Language) -> &'static str {
        let [en, de, fr] = self.0;
        match language {
            Language::En => en,
            Language::De => de,
            Language::Fr => fr,
        }
    }

    /// Returns the words in a language, with a value.
    pub fn with(self, language: Language, value: &str) -> String {
        self.say(language).replacen("{}", value, 1)
    }
}

macro_rules! words {
    ($($name:ident: $en:literal, $de:literal, $fr:literal;)+) => {
        $(
            #[doc = concat!("`", $en, "`")]
            pub const $name: Words = Words([$en, $de, $fr]);
        )+

        #[cfg(test)]
        const ALL: &[(&str, Words)] = &[$((stringify!($name), $name)),+];
    };
}

words! {
    // Results.
    CONNECTED: "Connected", "Verbunden", "Connexion établie";
    CLOSE_WINDOW: "{} is connected. You can close this window.",
        "{} ist verbunden. Sie können dieses Fenster schließen.",
        "{} est connecté. Vous pouvez fermer cette fenêtre.";
    THE_ACCOUNT: "The account", "Das Konto", "Le compte";
    NOT_CONNECTED: "Not connected", "Nicht verbunden", "Connexion échouée";
    MADE_MEANWHILE: "another connection was made meanwhile; go back to where you came from to see it",
        "inzwischen wurde eine andere Verbindung hergestellt; gehen Sie dorthin zurück, woher Sie kamen, um sie zu sehen",
        "une autre connexion a été établie entre-temps ; revenez à la page précédente pour la voir";
    LINK_EXPIRED: "this link is not valid or has expired; go back to where you came from and try again",
        "dieser Link ist ungültig oder abgelaufen; gehen Sie dorthin zurück, woher Sie kamen, und versuchen Sie es noch einmal",
        "ce lien n’est pas valide ou a expiré ; revenez à la page précédente et réessayez";
    PAGE_EXPIRED: "this page was open for too long; go back to where you came from and try again",
        "diese Seite war zu lange offen; gehen Sie dorthin zurück, woher Sie kamen, und versuchen Sie es noch einmal",
        "cette page est restée ouverte trop longtemps ; revenez à la page précédente et réessayez";
    OTHER_SITE: "another website sent this form; go back to where you came from and try again",
        "eine andere Website hat dieses Formular gesendet; gehen Sie dorthin zurück, woher Sie kamen, und versuchen Sie es noch einmal",
        "un autre site a envoyé ce formulaire ; revenez à la page précédente et réessayez";

    // On the way.
    CONNECTING: "Connecting", "Verbindung wird hergestellt", "Connexion en cours";
    ONE_MOMENT: "One moment, your account is being connected.",
        "Einen Moment, Ihr Konto wird verbunden.",
        "Un instant, votre compte est en cours de connexion.";
    ALMOST_THERE: "Almost there", "Gleich fertig", "C’est presque fini";
    STILL_CONNECTING: "Your account is still being connected. This page refreshes automatically.",
        "Ihr Konto wird noch verbunden. Diese Seite aktualisiert sich von selbst.",
        "Votre compte est encore en cours de connexion. Cette page s’actualise automatiquement.";
    CONTINUE: "Continue", "Weiter", "Continuer";

    // The link of a connection request.
    CONNECT_YOUR_ACCOUNT: "Connect your account", "Ihr Konto verbinden", "Connecter votre compte";
    PRESS_CONTINUE: "Press Continue to connect your account.",
        "Drücken Sie auf „Weiter“, um Ihr Konto zu verbinden.",
        "Appuyez sur « Continuer » pour connecter votre compte.";
    CONNECT_AN_ACCOUNT: "Connect an account", "Ein Konto verbinden", "Connecter un compte";
    CHOOSE_ACCOUNT: "Choose the account that you want to connect.",
        "Wählen Sie das Konto, das Sie verbinden möchten.",
        "Choisissez le compte que vous voulez connecter.";

    // Signing in.
    SIGN_IN: "Sign in", "Anmelden", "Se connecter";
    PRESS_TO_SIGN_IN: "Press Continue to sign in with this link. It works once.",
        "Drücken Sie auf „Weiter“, um sich mit diesem Link anzumelden. Er funktioniert einmal.",
        "Appuyez sur « Continuer » pour vous connecter avec ce lien. Il ne fonctionne qu’une fois.";
    SIGN_OUT: "Sign out", "Abmelden", "Se déconnecter";
    SIGNED_OUT: "Signed out", "Abgemeldet", "Déconnecté";
    SIGN_IN_AGAIN: "You can close this window.",
        "Sie können dieses Fenster schließen.",
        "Vous pouvez fermer cette fenêtre.";
    SIGN_IN_FIRST: "you are not signed in, or your session has ended",
        "Sie sind nicht angemeldet, oder Ihre Sitzung ist beendet",
        "vous n’êtes pas connecté, ou votre session est terminée";
    RUN_SIGN_IN: "run larder sign-in for a new link",
        "führen Sie larder sign-in aus, um einen neuen Link zu erhalten",
        "exécutez larder sign-in pour obtenir un nouveau lien";
    ASK_FOR_LINK: "ask for a new link where you got this one",
        "bitten Sie dort um einen neuen Link, woher Sie diesen haben",
        "demandez un nouveau lien là où vous avez obtenu celui-ci";
    NOT_POSSIBLE: "That did not work", "Das hat nicht geklappt", "Cela n’a pas fonctionné";
    CREDENTIALS: "Credentials", "Zugangsdaten", "Identifiants";

    // The form.
    CONNECT_NAME: "Connect {}", "{} verbinden", "Connecter {}";
    RECONNECT_NAME: "Reconnect {}", "{} neu verbinden", "Reconnecter {}";
    TESTED_AND_ENCRYPTED: "Your details are tested now and stored encrypted.",
        "Ihre Angaben werden jetzt geprüft und verschlüsselt gespeichert.",
        "Vos informations sont vérifiées maintenant et stockées chiffrées.";
    APPROVAL_FOLLOWS: "Next, {} asks you to sign in and approve access.",
        "Danach bittet {} Sie, sich anzumelden und den Zugriff zu erlauben.",
        "Ensuite, {} vous demande de vous identifier et d’autoriser l’accès.";
    CHOOSE_WAY: "Choose how you want to connect.",
        "Wählen Sie, wie Sie die Verbindung herstellen möchten.",
        "Choisissez comment vous connecter.";
    OTHER_WAYS: "Other ways to connect", "Andere Möglichkeiten", "Autres méthodes de connexion";
    SIGN_IN_WITH: "Sign in with {}", "Mit {} anmelden", "S’identifier avec {}";
    ENTER_DETAILS: "Enter access details", "Zugangsdaten eingeben", "Saisir les informations d’accès";
    CONNECT: "Connect", "Verbinden", "Connecter";
    CANCEL: "Cancel", "Abbrechen", "Annuler";
    OPTIONAL: "optional", "optional", "facultatif";
    CHOOSE: "Choose …", "Bitte wählen …", "Choisir …";
    NO_CHOICE: "Default", "Standard", "Par défaut";
    HELP: "Where do I find this?", "Wo finde ich das?", "Où trouver ces informations ?";
    NEW_TAB: "opens in a new tab", "öffnet sich in einem neuen Tab", "s’ouvre dans un nouvel onglet";
    KEPT: "Leave this empty to use the value that is already known.",
        "Lassen Sie das Feld leer, um den bereits bekannten Wert zu verwenden.",
        "Laissez ce champ vide pour utiliser la valeur déjà connue.";
    ONE_PER_LINE: "One value per line.", "Ein Wert pro Zeile.", "Une valeur par ligne.";
    AS_JSON: "In JSON.", "Als JSON.", "Au format JSON.";
    IN_UTC: "Date and time in UTC.", "Datum und Uhrzeit in UTC.", "Date et heure en UTC.";
    SECURED_BY: "Secured by Larder", "Gesichert durch Larder", "Sécurisé par Larder";

    // Errors.
    ERROR: "Error", "Fehler", "Erreur";
    CHECK_FIELDS: "Please check your details", "Bitte prüfen Sie Ihre Angaben", "Veuillez vérifier vos informations";
    NOT_ACCEPTED: "{} did not accept these details", "{} hat diese Angaben nicht akzeptiert", "{} n’a pas accepté ces informations";
    NOT_REACHED: "The connection could not be tested", "Die Verbindung konnte nicht geprüft werden",
        "La connexion n’a pas pu être vérifiée";
    COPY_AGAIN: "Not accepted. Enter it again, all of it.",
        "Nicht akzeptiert. Geben Sie es noch einmal vollständig ein.",
        "Refusé. Saisissez-le de nouveau en entier.";
    ENTER_AGAIN: "Enter this again.", "Geben Sie dies noch einmal ein.", "Saisissez de nouveau cette valeur.";
    MISSING: "Enter a value.", "Geben Sie einen Wert ein.", "Saisissez une valeur.";
    MISSING_CHOICE: "Choose one.", "Wählen Sie etwas aus.", "Faites un choix.";
    TOO_SHORT: "Enter at least {} characters.", "Geben Sie mindestens {} Zeichen ein.", "Saisissez au moins {} caractères.";
    TOO_LONG: "Enter at most {} characters.", "Geben Sie höchstens {} Zeichen ein.", "Saisissez au plus {} caractères.";
    TOO_SMALL: "Enter {} or more.", "Geben Sie mindestens {} ein.", "Saisissez {} ou plus.";
    TOO_LARGE: "Enter {} or less.", "Geben Sie höchstens {} ein.", "Saisissez {} ou moins.";
    NOT_A_NUMBER: "Enter a number.", "Geben Sie eine Zahl ein.", "Saisissez un nombre.";
    NOT_A_WHOLE_NUMBER: "Enter a whole number.", "Geben Sie eine ganze Zahl ein.", "Saisissez un nombre entier.";
    NOT_AN_EMAIL: "Enter an email address, such as name@example.com.",
        "Geben Sie eine E-Mail-Adresse ein, zum Beispiel name@example.com.",
        "Saisissez une adresse e-mail, par exemple name@example.com.";
    NOT_A_URL: "Enter a full address, such as https://example.com.",
        "Geben Sie eine vollständige Adresse ein, zum Beispiel https://example.com.",
        "Saisissez une adresse complète, par exemple https://example.com.";
    NOT_A_DATE: "Enter a date.", "Geben Sie ein Datum ein.", "Saisissez une date.";
    NOT_THE_FORMAT: "This does not have the expected format.",
        "Das hat nicht das erwartete Format.",
        "Cette valeur n’a pas le format attendu.";
    NOT_LISTED: "Choose one of the values.", "Wählen Sie einen der Werte.", "Choisissez une des valeurs.";
    NOT_VALID: "This value is not valid.", "Dieser Wert ist ungültig.", "Cette valeur n’est pas valide.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_exist_in_every_language_with_the_same_values() {
        for (name, words) in ALL {
            let texts = Language::ALL.map(|language| words.say(language));
            for text in texts {
                assert!(!text.trim().is_empty() && text.trim() == text, "{name}: {text:?}");
                assert_eq!(text.matches("{}").count(), texts[0].matches("{}").count(), "{name}: {text}");
                let end = |text: &str| text.chars().next_back().filter(|c| ".?…".contains(*c));
                assert_eq!(end(text), end(texts[0]), "{name}: {text}");
            }
            let [en, de, fr] = texts;
            assert!(fr != en && (de != en || *name == "OPTIONAL"), "{name} is not translated");
        }
    }

    #[test]
    fn a_value_may_contain_placeholders() {
        assert_eq!(CONNECT_NAME.with(Language::De, "{} & Co."), "{} & Co. verbinden");
    }
}
