//! The two ways to upload, which need a script.

use maud::{Markup, html};

use crate::frame::{Frame, without_script};
use crate::words::Word;

/// Both, folded up.
pub(super) fn forms(frame: &Frame<'_>) -> Markup {
    html! {
        details.upload {
            summary { (frame.text(Word::Upload)) }
            (without_script(frame))
            div.columns.script {
                (by_link(frame))
                (by_file(frame))
            }
        }
    }
}

fn by_link(frame: &Frame<'_>) -> Markup {
    html! {
        form data-upload="link" action="link/" {
            h2 { (frame.text(Word::UploadByLink)) }
            label { (frame.text(Word::Link)) input name="package_url" type="url" required maxlength="8192" autocomplete="off"; }
            (common_fields(frame))
            button.primary type="submit" { (frame.text(Word::Upload)) }
            output {}
        }
    }
}

fn by_file(frame: &Frame<'_>) -> Markup {
    html! {
        form data-upload="file" action="upload/" {
            h2 { (frame.text(Word::UploadByFile)) }
            label.drop { (frame.text(Word::Drop)) input name="file" type="file" required; }
            (common_fields(frame))
            button.primary type="submit" { (frame.text(Word::Upload)) }
            progress hidden max="1" value="0" aria-label=(frame.text(Word::Progress)) {}
            output {}
        }
    }
}

fn common_fields(frame: &Frame<'_>) -> Markup {
    html! {
        label { (frame.text(Word::Version)) input name="version" maxlength="64" autocomplete="off"; }
        label { (frame.text(Word::ShaOptional)) input name="sha256" maxlength="64" pattern="[0-9A-Fa-f]{64}" autocomplete="off"; }
        label.check { input name="allow_overwrite" type="checkbox" value="true"; " " (frame.text(Word::AllowOverwrite)) }
    }
}
