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
    IS_CONNECTED: "{} is connected.", "{} ist verbunden.", "{} est connecté.";
    THE_ACCOUNT: "The account", "Das Konto", "Le compte";
    NOT_GRANTED: "Access was not granted.", "Der Zugriff wurde nicht erlaubt.", "L’accès n’a pas été accordé.";
    ANSWERED_NOT_ACCEPTED: "The provider did not accept these credentials (answer {}).",
        "Der Anbieter hat diese Angaben abgelehnt (Antwort {}).",
        "Le fournisseur n’a pas accepté ces informations (réponse {}).";
    NOT_REACHABLE: "{} could not be reached.", "{} war nicht erreichbar.", "{} n’a pas pu être joint.";
    ANSWER_LOST: "The answer from {} was lost.", "Die Antwort von {} ist nicht angekommen.", "La réponse de {} a été perdue.";
    NO_ANSWER: "{} did not answer in time.", "{} hat nicht rechtzeitig geantwortet.", "{} n’a pas répondu à temps.";
    NOT_AVAILABLE: "{} is not available right now.", "{} ist gerade nicht verfügbar.", "{} n’est pas disponible pour l’instant.";
    NOT_SECURE: "There is no secure connection to {}.", "Es gibt keine sichere Verbindung zu {}.",
        "Il n’y a pas de connexion sécurisée à {}.";
    TRY_AGAIN: "Try again", "Noch einmal versuchen", "Réessayer";
    TRY_LATER: "this does not work right now; try again in a moment",
        "das funktioniert gerade nicht; versuchen Sie es gleich noch einmal",
        "cela ne fonctionne pas pour l’instant ; réessayez dans un instant";
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
    YOU_CANCELED: "You canceled, so nothing was connected.",
        "Sie haben abgebrochen, also wurde nichts verbunden.",
        "Vous avez annulé, donc rien n’a été connecté.";
    CANCELED_BY_YOU: "you canceled; you can close this window",
        "Sie haben abgebrochen; Sie können dieses Fenster schließen",
        "vous avez annulé ; vous pouvez fermer cette fenêtre";

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
    LINK_UNKNOWN: "this link is not valid; go back to where you came from and ask for a new one",
        "dieser Link ist ungültig; gehen Sie dorthin zurück, woher Sie kamen, und fordern Sie einen neuen an",
        "ce lien n’est pas valide ; revenez à la page précédente et demandez-en un nouveau";
    LINK_TOO_OLD: "this link has expired; go back to where you came from and ask for a new one",
        "dieser Link ist abgelaufen; gehen Sie dorthin zurück, woher Sie kamen, und fordern Sie einen neuen an",
        "ce lien a expiré ; revenez à la page précédente et demandez-en un nouveau";
    LINK_CANCELED: "this link was canceled; go back to where you came from and ask for a new one",
        "dieser Link wurde zurückgezogen; gehen Sie dorthin zurück, woher Sie kamen, und fordern Sie einen neuen an",
        "ce lien a été annulé ; revenez à la page précédente et demandez-en un nouveau";
    LINK_BUSY: "this link is being used to connect an account right now; wait a moment, then go back to where you came from",
        "mit diesem Link wird gerade ein Konto verbunden; warten Sie einen Moment, und gehen Sie dann dorthin zurück, woher Sie kamen",
        "ce lien est en train de connecter un compte ; attendez un instant, puis revenez à la page précédente";
    ALREADY_CONNECTED: "Already connected", "Schon verbunden", "Déjà connecté";
    LINK_USED: "this link was already used to connect an account; you can close this window",
        "mit diesem Link wurde schon ein Konto verbunden; Sie können dieses Fenster schließen",
        "ce lien a déjà servi à connecter un compte ; vous pouvez fermer cette fenêtre";
    LINK_ELSEWHERE: "this link was already opened in another browser; continue there, or ask for a new link where you got this one",
        "dieser Link wurde schon in einem anderen Browser geöffnet; machen Sie dort weiter, oder fordern Sie dort einen neuen an, wo Sie diesen bekommen haben",
        "ce lien a déjà été ouvert dans un autre navigateur ; continuez-y, ou demandez un nouveau lien là où vous avez obtenu celui-ci";

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
    PLEASE_SIGN_IN: "Please sign in", "Bitte melden Sie sich an", "Veuillez vous connecter";
    SIGN_IN_FIRST: "You are not signed in, or your session has ended.",
        "Sie sind nicht angemeldet, oder Ihre Sitzung ist beendet.",
        "Vous n’êtes pas connecté, ou votre session est terminée.";
    SIGN_IN_LINK_USED: "This link was already used.", "Dieser Link wurde schon verwendet.", "Ce lien a déjà été utilisé.";
    SIGN_IN_LINK_EXPIRED: "This link has expired.", "Dieser Link ist abgelaufen.", "Ce lien a expiré.";
    SIGN_IN_LINK_UNKNOWN: "This link is not valid.", "Dieser Link ist ungültig.", "Ce lien n’est pas valide.";
    OPEN_YOUR_LINK: "Open the link that you were sent, or ask for a new one where you got it.",
        "Öffnen Sie den Link, den Sie bekommen haben, oder bitten Sie dort um einen neuen, woher Sie ihn haben.",
        "Ouvrez le lien que vous avez reçu, ou demandez-en un nouveau là où vous l’avez obtenu.";
    RUN_SIGN_IN: "If you run this Larder, {} prints a new link.",
        "Wenn Sie dieses Larder betreiben: {} gibt einen neuen Link aus.",
        "Si vous administrez ce Larder, {} affiche un nouveau lien.";
    ASK_FOR_LINK: "Ask for a new link where you got the last one.",
        "Bitten Sie dort um einen neuen Link, woher Sie den letzten haben.",
        "Demandez un nouveau lien là où vous avez obtenu le dernier.";
    SIGNED_IN_SINCE: "you are now signed in as {}; reload this page and try again",
        "Sie sind jetzt als {} angemeldet; laden Sie diese Seite neu, und versuchen Sie es noch einmal",
        "vous êtes maintenant connecté en tant que {} ; rechargez cette page et réessayez";
    ADMIN_OF: "an admin of {}", "Admin von {}", "admin de {}";
    RELOAD: "Reload", "Neu laden", "Recharger";
    NOT_RIGHT: "something about this request is not right; go back and try again",
        "etwas stimmt an dieser Anfrage nicht; gehen Sie zurück, und versuchen Sie es noch einmal",
        "quelque chose ne va pas dans cette demande ; revenez en arrière et réessayez";
    NAME_TOO_LONG: "this name is too long", "diese Bezeichnung ist zu lang", "ce nom est trop long";
    PAGE_NOT_FOUND: "Page not found", "Seite nicht gefunden", "Page introuvable";
    NOT_POSSIBLE: "That did not work", "Das hat nicht geklappt", "Cela n’a pas fonctionné";

    // The frame of the pages behind sign-in.
    SKIP: "Skip to the content", "Zum Inhalt springen", "Aller au contenu";
    THE_WORKSPACE: "Workspace {}", "Arbeitsbereich {}", "Espace de travail {}";
    SEARCH: "Search credentials", "Zugangsdaten suchen", "Rechercher des identifiants";
    SEARCH_BY: "Search by name, account or tag", "Name, Konto oder Markierung suchen", "Rechercher par nom, compte ou étiquette";
    INTEGRATIONS: "Integrations", "Integrationen", "Intégrations";
    ADD_CREDENTIAL: "Add credential", "Zugangsdaten hinzufügen", "Ajouter des identifiants";

    // The credentials page.
    CREDENTIALS: "Credentials", "Zugangsdaten", "Identifiants";
    ALL_CREDENTIALS: "All credentials", "Alle Zugangsdaten", "Tous les identifiants";
    NEEDS_ATTENTION: "Needs attention", "Braucht Aufmerksamkeit", "À vérifier";
    N_CREDENTIALS: "Credentials: {}", "Zugangsdaten: {}", "Identifiants : {}";
    STATE: "State", "Zustand", "État";
    ANY_STATE: "Any", "Alle", "Tous";
    NO_ATTENTION: "Needs no attention", "Braucht keine Aufmerksamkeit", "Rien à vérifier";
    FILTER: "Filter", "Filtern", "Filtrer";
    REMOVE_FILTER: "Remove filter", "Filter entfernen", "Retirer le filtre";
    FIRST_PAGE: "First page", "Erste Seite", "Première page";
    NEXT: "Next", "Weiter", "Suivant";
    SHOW_ALL: "Show all", "Alle anzeigen", "Tout afficher";
    WITH_DELETED: "Including deleted", "Auch gelöschte", "Supprimés inclus";
    ONLY_TESTS: "Only for tests", "Nur zum Testen", "Seulement pour les tests";
    DAYS: "{} days", "{} Tagen", "{} jours";
    MOMENT: "a moment", "einem Moment", "un instant";

    // States.
    FRESH: "Fresh", "Aktuell", "À jour";
    WORKS: "Works", "Funktioniert", "Fonctionne";
    STORED: "Stored", "Gespeichert", "Enregistré";
    CANNOT_REFRESH: "Cannot refresh", "Erneuerung nicht möglich", "Renouvellement impossible";
    REFRESH_FAILING: "Refresh failing", "Erneuerung scheitert", "Renouvellement en échec";
    DELETED: "Deleted", "Gelöscht", "Supprimé";
    INACTIVE: "inactive", "inaktiv", "inactif";
    REFRESHES_IN: "refreshes in {}", "wird in {} erneuert", "renouvelé dans {}";
    REFRESHES_NOW: "is being refreshed", "wird gerade erneuert", "en cours de renouvellement";
    LAST_REFRESHED: "last refreshed {} ago", "zuletzt vor {} erneuert", "dernier renouvellement il y a {}";
    EXPIRES_IN: "expires in {}", "läuft in {} ab", "expire dans {}";
    EXPIRED_AGO: "expired {} ago", "vor {} abgelaufen", "expiré il y a {}";
    NEVER_EXPIRES: "does not expire", "läuft nicht ab", "n’expire pas";
    VALID_FOR: "still valid, expires in {}", "noch gültig, läuft in {} ab", "encore valide, expire dans {}";
    NEXT_TRY: "next try in {}", "nächster Versuch in {}", "prochain essai dans {}";
    AGO: "{} ago", "vor {}", "il y a {}";
    LIFETIME_PASSED: "Part of the lifetime that has passed", "Vergangener Teil der Laufzeit", "Part écoulée de la durée de vie";
    USED_BY: "used by {}", "verwendet von {}", "utilisé par {}";
    NOT_USED: "not used by any flow", "von keinem Ablauf verwendet", "utilisé par aucun flux";
    MUST_RECONNECT: "{} must be connected again.", "{} muss neu verbunden werden.", "{} doit être reconnecté.";
    SIGN_IN_THERE: "Sign in at {} again.", "Melden Sie sich noch einmal bei {} an.", "Identifiez-vous de nouveau auprès de {}.";
    ENTER_KEY_AGAIN: "Enter the key again.", "Geben Sie den Schlüssel noch einmal ein.", "Saisissez de nouveau la clé.";
    OWNER_SIGNS_IN: "The owner has to sign in at {} again.",
        "Die Person, der das Konto gehört, muss sich noch einmal bei {} anmelden.",
        "Le propriétaire doit s’identifier de nouveau auprès de {}.";
    OWNER_ENTERS_KEY: "The owner has to enter the key again.",
        "Die Person, der das Konto gehört, muss den Schlüssel noch einmal eingeben.",
        "Le propriétaire doit saisir de nouveau la clé.";
    ACCESS_EXPIRED: "Access has expired and could not be renewed.",
        "Der Zugriff ist abgelaufen und konnte nicht erneuert werden.",
        "L’accès a expiré et n’a pas pu être renouvelé.";
    REFRESH_FAILED_WHY: "The last refresh failed.", "Die letzte Erneuerung ist gescheitert.", "Le dernier renouvellement a échoué.";
    LAST_TEST_FAILED: "The last test failed.", "Der letzte Test ist gescheitert.", "Le dernier test a échoué.";
    SET_UP_FAULT: "The integration is not set up correctly.", "Die Integration ist nicht richtig eingerichtet.",
        "L’intégration n’est pas configurée correctement.";
    KEEPS_TRYING: "Larder keeps trying.", "Larder versucht es weiter.", "Larder continue d’essayer.";
    FAILED_TIMES: "{} attempts in a row have failed.", "{} Versuche nacheinander sind gescheitert.", "{} essais de suite ont échoué.";

    // Buttons and forms of a credential.
    TEST: "Test", "Prüfen", "Tester";
    TEST_AGAIN: "Test again", "Erneut prüfen", "Tester de nouveau";
    REFRESH: "Refresh", "Erneuern", "Renouveler";
    TRY_NOW: "Try now", "Jetzt versuchen", "Essayer maintenant";
    RENAME: "Rename", "Umbenennen", "Renommer";
    NAME: "Name", "Bezeichnung", "Nom";
    CHANGE: "Change", "Ändern", "Modifier";
    MAKE_LINK: "Make a reconnect link", "Link zum Neuverbinden", "Créer un lien de reconnexion";
    RECONNECT_LINK: "Reconnect link", "Link zum Neuverbinden", "Lien de reconnexion";
    SEND_THIS: "Send this link to the owner of the account. It works in one browser, for 24 hours.",
        "Senden Sie diesen Link an die Person, der das Konto gehört. Er funktioniert 24 Stunden lang in einem Browser.",
        "Envoyez ce lien au propriétaire du compte. Il fonctionne dans un seul navigateur, pendant 24 heures.";
    ACTIVATE: "Activate", "Aktivieren", "Activer";
    DEACTIVATE: "Deactivate", "Deaktivieren", "Désactiver";
    DISCONNECT: "Disconnect", "Trennen", "Déconnecter";
    DELETE: "Delete", "Löschen", "Supprimer";
    DELETE_ANYWAY: "Delete anyway", "Trotzdem löschen", "Supprimer quand même";
    RESTORE: "Restore", "Wiederherstellen", "Restaurer";
    DISCONNECT_QUESTION: "Disconnect this credential?", "Diese Zugangsdaten trennen?", "Déconnecter ces identifiants ?";
    DISCONNECT_MEANS: "The secrets are erased, and access is revoked at the provider if it supports that. It works again only after you reconnect.",
        "Die Geheimnisse werden gelöscht, und der Zugriff wird beim Anbieter widerrufen, wenn das dort geht. Erst nach dem Neuverbinden funktioniert es wieder.",
        "Les secrets sont effacés et l’accès est révoqué auprès du fournisseur s’il le permet. Il faudra se reconnecter pour que cela fonctionne de nouveau.";
    FLOWS_STOP: "These flows use it and will stop working:",
        "Diese Abläufe verwenden es und funktionieren dann nicht mehr:",
        "Ces flux l’utilisent et cesseront de fonctionner :";
    DELETE_QUESTION: "Delete this credential?", "Diese Zugangsdaten löschen?", "Supprimer ces identifiants ?";
    DELETE_MEANS: "The secrets are erased, and access is revoked at the provider if it supports that. The rest can be restored for 30 days.",
        "Die Geheimnisse werden gelöscht, und der Zugriff wird beim Anbieter widerrufen, wenn das dort geht. Der Rest kann 30 Tage lang wiederhergestellt werden.",
        "Les secrets sont effacés et l’accès est révoqué auprès du fournisseur s’il le permet. Le reste peut être restauré pendant 30 jours.";
    DELETE_STORED_MEANS: "The credentials are erased, and cannot be restored.",
        "Die Zugangsdaten werden gelöscht und können nicht wiederhergestellt werden.",
        "Les identifiants sont effacés et ne pourront pas être restaurés.";
    CHOOSE_INTEGRATION: "Choose the integration that you want to add a credential for.",
        "Wählen Sie die Integration, für die Sie Zugangsdaten hinzufügen möchten.",
        "Choisissez l’intégration pour laquelle vous voulez ajouter des identifiants.";

    // The picker.
    PICK_ONE: "Choose a credential for {}", "Zugangsdaten für {} wählen", "Choisir des identifiants pour {}";
    FOR_FLOW: "For the flow {}", "Für den Ablauf {}", "Pour le flux {}";
    FIND: "Find a credential", "Zugangsdaten finden", "Trouver des identifiants";
    USE_THIS: "Use this", "Verwenden", "Utiliser";
    TESTED_FIRST: "A new one is tested before you can choose it.",
        "Neue werden geprüft, bevor Sie sie wählen können.",
        "Les nouveaux sont vérifiés avant que vous puissiez les choisir.";
    NOTHING_TO_PICK: "Add one. It is tested before you can choose it.",
        "Fügen Sie welche hinzu. Sie werden geprüft, bevor Sie sie wählen können.",
        "Ajoutez-en. Ils sont vérifiés avant que vous puissiez les choisir.";
    NOW_CHOOSE: "It was tested and stored. You can use it now.",
        "Die Zugangsdaten wurden geprüft und gespeichert. Sie können sie jetzt verwenden.",
        "Ils ont été vérifiés et enregistrés. Vous pouvez maintenant les utiliser.";
    NOT_USABLE: "this credential cannot be used right now; reconnect it, or choose another",
        "diese Zugangsdaten können gerade nicht verwendet werden; verbinden Sie sie neu, oder wählen Sie andere",
        "ces identifiants ne peuvent pas être utilisés pour l’instant ; reconnectez-les ou choisissez-en d’autres";
    CHOSEN: "Chosen", "Ausgewählt", "Choisi";
    CHOSEN_CLOSE: "{} was chosen. You can close this window.",
        "{} wurde ausgewählt. Sie können dieses Fenster schließen.",
        "{} a été choisi. Vous pouvez fermer cette fenêtre.";
    GOING_BACK: "One moment, you are going back to the application.",
        "Einen Moment, es geht zurück zur Anwendung.",
        "Un instant, vous retournez à l’application.";

    // The page of a credential.
    DETAILS: "Details", "Einzelheiten", "Détails";
    ACCOUNT: "Account", "Konto", "Compte";
    END_USER: "End user", "Endnutzer", "Utilisateur final";
    KEY: "Key", "Schlüssel", "Clé";
    ID: "ID", "Kennung", "Identifiant";
    CREATED: "Created", "Erstellt", "Créé";
    LAST_REFRESH: "Last refresh", "Letzte Erneuerung", "Dernier renouvellement";
    NEXT_REFRESH: "Next refresh", "Nächste Erneuerung", "Prochain renouvellement";
    EXPIRES: "Expires", "Läuft ab", "Expire";
    LAST_USED: "Last used", "Zuletzt verwendet", "Dernière utilisation";
    SCOPES: "Granted access", "Erlaubter Zugriff", "Accès accordé";
    TAGS: "Tags", "Markierungen", "Étiquettes";
    FLOWS: "Used by flows", "Verwendet von Abläufen", "Utilisé par les flux";
    HISTORY: "History", "Verlauf", "Historique";
    NO_HISTORY: "Nothing has been attempted yet.", "Noch kein Versuch.", "Aucun essai pour l’instant.";
    ATTEMPT_CONNECTED: "Connected", "Verbunden", "Connecté";
    ATTEMPT_NOT_CONNECTED: "Not connected", "Nicht verbunden", "Non connecté";
    ATTEMPT_REPLACED: "Replaced", "Ersetzt", "Remplacé";
    ATTEMPT_NOT_REPLACED: "Not replaced", "Nicht ersetzt", "Non remplacé";
    ATTEMPT_TESTED: "Test passed", "Test bestanden", "Test réussi";
    ATTEMPT_TEST_FAILED: "Test failed", "Test gescheitert", "Test échoué";
    ATTEMPT_REFRESHED: "Refreshed", "Erneuert", "Renouvelé";
    ATTEMPT_NOT_REFRESHED: "Refused", "Abgelehnt", "Refusé";
    ATTEMPT_DISCONNECTED: "Disconnected", "Getrennt", "Déconnecté";
    ATTEMPT_NOT_REVOKED: "Not revoked", "Nicht widerrufen", "Non révoqué";

    // Nothing to show.
    NO_CREDENTIALS: "No credentials yet", "Noch keine Zugangsdaten", "Pas encore d’identifiants";
    ADD_FIRST: "Add a credential to use it in flows.",
        "Fügen Sie Zugangsdaten hinzu, um sie in Abläufen zu verwenden.",
        "Ajoutez des identifiants pour les utiliser dans des flux.";
    NO_MORE: "No more credentials", "Keine weiteren Zugangsdaten", "Aucun autre identifiant";
    LIST_ENDS: "The list ends here.", "Die Liste endet hier.", "La liste se termine ici.";
    NO_RESULTS: "No results", "Keine Treffer", "Aucun résultat";
    TRY_OTHER_WORDS: "No credential matches this search.",
        "Keine Zugangsdaten entsprechen dieser Suche.",
        "Aucun identifiant ne correspond à cette recherche.";
    NOTHING_YET: "Nothing found so far", "Bisher nichts gefunden", "Rien trouvé jusqu’ici";
    LOOK_FURTHER: "The rest of the list has not been searched yet.",
        "Der Rest der Liste wurde noch nicht durchsucht.",
        "Le reste de la liste n’a pas encore été parcouru.";
    ALL_WELL: "All is well", "Alles in Ordnung", "Tout va bien";
    NOTHING_NEEDS_ATTENTION: "No credential needs attention.",
        "Keine Zugangsdaten brauchen Aufmerksamkeit.",
        "Aucun identifiant n’est à vérifier.";
    FIRST_INTEGRATION: "Set up your first integration", "Richten Sie die erste Integration ein", "Configurez votre première intégration";
    SET_UP_FIRST: "An integration says how to connect to a service. Then you can add credentials for it.",
        "Eine Integration legt fest, wie ein Dienst verbunden wird. Danach können Sie Zugangsdaten hinzufügen.",
        "Une intégration définit la connexion à un service. Ensuite, vous pourrez ajouter des identifiants.";
    NOTHING_TO_CONNECT: "Nothing to connect yet", "Noch nichts zu verbinden", "Rien à connecter pour l’instant";
    ASK_ADMIN: "Ask whoever sent you here to set up an integration.",
        "Bitten Sie die Person, von der Sie den Link haben, eine Integration einzurichten.",
        "Demandez à la personne qui vous a envoyé ici de configurer une intégration.";

    // What just happened.
    TEST_PASSED: "The test passed", "Der Test war erfolgreich", "Le test a réussi";
    TEST_FAILED: "The test failed", "Der Test ist gescheitert", "Le test a échoué";
    WAS_REFRESHED: "Refreshed", "Erneuert", "Renouvelé";
    TRIED_JUST_NOW: "It was tried less than a minute ago. Try again in a moment.",
        "Der letzte Versuch ist weniger als eine Minute her. Versuchen Sie es gleich noch einmal.",
        "Le dernier essai date de moins d’une minute. Réessayez dans un instant.";
    WAS_RENAMED: "Renamed", "Umbenannt", "Renommé";
    WAS_DELETED: "Deleted", "Gelöscht", "Supprimé";
    UNDO: "Undo", "Rückgängig machen", "Annuler";
    WAS_RESTORED: "Restored. It must be connected again.", "Wiederhergestellt. Es muss neu verbunden werden.",
        "Restauré. Il faut le reconnecter.";
    WAS_DISCONNECTED: "Disconnected", "Getrennt", "Déconnecté";
    WAS_DEACTIVATED: "Deactivated. It is no longer served, but still refreshed.",
        "Deaktiviert. Die Zugangsdaten werden nicht mehr ausgegeben, aber weiter erneuert.",
        "Désactivé. Les identifiants ne sont plus fournis, mais encore renouvelés.";
    WAS_ACTIVATED: "Activated", "Aktiviert", "Activé";
    IN_USE: "It is in use, so it was not deleted. First turn off the flows that use it, or choose another credential in them.",
        "Es wird verwendet und wurde deshalb nicht gelöscht. Schalten Sie zuerst die Abläufe aus, die es verwenden, oder wählen Sie dort andere Zugangsdaten.",
        "Il est utilisé et n’a donc pas été supprimé. Désactivez d’abord les flux qui l’utilisent, ou choisissez-y d’autres identifiants.";
    NO_SUCH_CREDENTIAL: "this credential does not exist, or was deleted",
        "diese Zugangsdaten gibt es nicht, oder sie wurden gelöscht",
        "ces identifiants n’existent pas ou ont été supprimés";
    NO_SUCH_INTEGRATION: "this integration does not exist, or was deleted",
        "diese Integration gibt es nicht, oder sie wurde gelöscht",
        "cette intégration n’existe pas ou a été supprimée";
    NO_SUCH_CONNECTOR: "this connector does not exist",
        "diesen Konnektor gibt es nicht",
        "ce connecteur n’existe pas";
    NO_SUCH_PAGE: "this page does not exist", "diese Seite gibt es nicht", "cette page n’existe pas";
    NOT_ALLOWED: "your session does not allow this; ask for a link that does",
        "Ihre Sitzung erlaubt das nicht; bitten Sie um einen Link, der es erlaubt",
        "votre session ne le permet pas ; demandez un lien qui le permet";
    STILL_PENDING: "Nothing was connected yet", "Es wurde noch nichts verbunden", "Rien n’a encore été connecté";

    // The form.
    CONNECT_NAME: "Connect {}", "{} verbinden", "Connecter {}";
    RECONNECT_NAME: "Reconnect {}", "{} neu verbinden", "Reconnecter {}";
    TESTED_AND_ENCRYPTED: "Your details will be tested, then stored encrypted.",
        "Ihre Angaben werden geprüft und dann verschlüsselt gespeichert.",
        "Vos informations seront vérifiées, puis stockées chiffrées.";
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
    CLOSE: "Close", "Schließen", "Fermer";
    CANCEL: "Cancel", "Abbrechen", "Annuler";
    OPTIONAL: "optional", "optional", "facultatif";
    CHOOSE: "Choose …", "Bitte wählen …", "Choisir …";
    NO_CHOICE: "Default", "Standard", "Par défaut";
    HELP: "Where do I find this?", "Wo finde ich das?", "Où trouver ces informations ?";
    FOR_EXAMPLE: "For example: {}", "Zum Beispiel: {}", "Par exemple : {}";
    NEW_TAB: "opens in a new tab", "öffnet sich in einem neuen Tab", "s’ouvre dans un nouvel onglet";
    KEPT: "Leave this empty to use the value that is already known.",
        "Lassen Sie das Feld leer, um den bereits bekannten Wert zu verwenden.",
        "Laissez ce champ vide pour utiliser la valeur déjà connue.";
    IS_SET: "Set. Leave this empty to keep it.",
        "Gesetzt. Lassen Sie das Feld leer, um den Wert zu behalten.",
        "Défini. Laissez ce champ vide pour conserver la valeur.";
    REMOVE: "Remove the stored value", "Gespeicherten Wert entfernen", "Retirer la valeur enregistrée";
    ONE_PER_LINE: "One value per line.", "Ein Wert pro Zeile.", "Une valeur par ligne.";
    AS_JSON: "In JSON.", "Als JSON.", "Au format JSON.";
    IN_UTC: "Date and time in UTC.", "Datum und Uhrzeit in UTC.", "Date et heure en UTC.";
    SECURED_BY: "Secured by Larder", "Gesichert durch Larder", "Sécurisé par Larder";

    // In a frame.
    NEW_WINDOW: "opens in a new window", "öffnet sich in einem neuen Fenster", "s’ouvre dans une nouvelle fenêtre";
    WAITING: "Continue in the other window. This page notices when you are done.",
        "Machen Sie im anderen Fenster weiter. Diese Seite bemerkt, wenn Sie fertig sind.",
        "Continuez dans l’autre fenêtre. Cette page détecte la fin de l’opération.";
    APPROVED: "I have approved access", "Ich habe den Zugriff erlaubt", "J’ai autorisé l’accès";
    RECONNECT: "Reconnect", "Neu verbinden", "Reconnecter";
    RECONNECT_NEEDED: "Reconnect needed", "Muss neu verbunden werden", "À reconnecter";
    DEACTIVATED: "Deactivated", "Deaktiviert", "Désactivée";

    // Errors.
    ERROR: "Error", "Fehler", "Erreur";
    CHECK_FIELDS: "Please check your details", "Bitte prüfen Sie Ihre Angaben", "Veuillez vérifier vos informations";
    NOT_ACCEPTED: "{} did not accept these details", "{} hat diese Angaben nicht akzeptiert", "{} n’a pas accepté ces informations";
    NOT_REACHED: "The connection could not be tested", "Die Verbindung konnte nicht geprüft werden",
        "La connexion n’a pas pu être vérifiée";
    COPY_AGAIN: "Not accepted. Enter the whole value again.",
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
    PART_BEFORE: "Enter only the part before {}.", "Geben Sie nur den Teil vor {} ein.", "Saisissez seulement la partie avant {}.";
    PART_BEFORE_LIKE: "Enter only the part before {}, for example {}.",
        "Geben Sie nur den Teil vor {} ein, zum Beispiel {}.",
        "Saisissez seulement la partie avant {}, par exemple {}.";
    LIKE: "Enter something like {}.", "Geben Sie etwas wie {} ein.", "Saisissez une valeur comme {}.";
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
