//! Why a source could not be read, told from the client's error and what caused it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

use super::exchange::EndlessHead;
use super::guard::NoSuchName;
use super::tls::CertificateWanted;
use crate::source::{Phase, Unreachable};

/// Finds the reason; the phase decides where the error says nothing.
pub(super) fn find_reason(error: &(dyn Error + 'static), phase: Phase) -> Unreachable {
    let said = chain_of(error).find_map(reason_of_one);
    said.unwrap_or(if phase == Phase::Connect { Unreachable::NoConnection } else { Unreachable::BrokeOff })
}

/// Whether it took too long: an address of several has only its part of the time.
pub(super) fn is_late(error: &(dyn Error + 'static)) -> bool {
    chain_of(error).any(|error| error.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::TimedOut))
}

/// Whether it is the operator's proxy that failed.
pub(super) fn is_of_proxy(reason: Unreachable) -> bool {
    matches!(reason, Unreachable::ProxyUnreachable | Unreachable::ProxyRefused | Unreachable::ProxyCannotReach)
}

/// The error and its causes. An I/O error hides from `source` what it was made of.
fn chain_of<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| find_inner_error(error).or_else(|| error.source()))
}

fn find_inner_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    error.downcast_ref::<io::Error>()?.get_ref().map(|inner| inner as _)
}

fn reason_of_one(error: &(dyn Error + 'static)) -> Option<Unreachable> {
    if error.is::<NoSuchName>() {
        return Some(Unreachable::UnknownName);
    }
    if error.is::<CertificateWanted>() {
        return Some(Unreachable::ClientCertificateMissing);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(reason_of_tls(error));
    }
    if error.is::<EndlessHead>() || error.downcast_ref().is_some_and(hyper::Error::is_parse) {
        return Some(Unreachable::NotHttp);
    }
    let refused =
        error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused);
    refused.then_some(Unreachable::ConnectionRefused)
}

fn reason_of_tls(error: &rustls::Error) -> Unreachable {
    let error = match error {
        rustls::Error::InvalidCertificate(error) => error,
        rustls::Error::AlertReceived(alert) if is_of_our_certificate(*alert) => {
            return Unreachable::ClientCertificateRefused;
        }
        _ => return Unreachable::Tls,
    };
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Unreachable::CertificateTime,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Unreachable::CertificateName
        }
        CertificateError::UnknownIssuer => Unreachable::CertificateIssuer,
        _ => Unreachable::Certificate,
    }
}

/// A source speaks so of the certificate that it was shown, or was not shown.
fn is_of_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Unreachable {
        // As the client's errors come: wrapped in one of I/O.
        find_reason(&io::Error::other(cause), Phase::Connect)
    }

    #[test]
    fn each_cause_has_its_reason_however_deep_it_lies() {
        let certificate = |error| reason(rustls::Error::InvalidCertificate(error));
        assert_eq!(certificate(CertificateError::Expired), Unreachable::CertificateTime);
        assert_eq!(certificate(CertificateError::NotValidYet), Unreachable::CertificateTime);
        assert_eq!(certificate(CertificateError::NotValidForName), Unreachable::CertificateName);
        assert_eq!(certificate(CertificateError::UnknownIssuer), Unreachable::CertificateIssuer);
        assert_eq!(certificate(CertificateError::BadSignature), Unreachable::Certificate);
        assert_eq!(reason(rustls::Error::HandshakeNotComplete), Unreachable::Tls);
        let alert = |alert| reason(rustls::Error::AlertReceived(alert));
        assert_eq!(alert(AlertDescription::HandshakeFailure), Unreachable::Tls);
        assert_eq!(alert(AlertDescription::UnknownCA), Unreachable::ClientCertificateRefused);
        let wanted = CertificateWanted(io::ErrorKind::ConnectionReset.into());
        assert_eq!(reason(wanted), Unreachable::ClientCertificateMissing);
        assert_eq!(reason(NoSuchName(io::Error::other("?"))), Unreachable::UnknownName);
        assert_eq!(reason(io::Error::from(io::ErrorKind::ConnectionRefused)), Unreachable::ConnectionRefused);
    }

    #[test]
    fn where_the_cause_says_nothing_the_phase_does() {
        assert_eq!(find_reason(&io::Error::other("?"), Phase::Connect), Unreachable::NoConnection);
        assert_eq!(find_reason(&io::Error::other("?"), Phase::Head), Unreachable::BrokeOff);
        assert_eq!(find_reason(&io::Error::other("?"), Phase::Body), Unreachable::BrokeOff);
    }
}
