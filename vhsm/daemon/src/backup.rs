//! `backup` and `restore`: parts of a backup go out and come in, one a packet. Whoever asks was
//! found to be an administrator before it comes here.

use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use nitride_protocol::admin::{BackedUp, Backup, Restore, Restored};
use nitride_protocol::{Message, Operation, Reader, Status, write_reply};
use nitride_vault::DaemonCall;
use nitride_vault::backup::{BackupFault, Giving, Taking};

/// What one connection is at.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    giving: Option<Giving>,
    taking: Taking,
}

/// Whether `operation` is one of the two.
pub(crate) fn takes(operation: Operation) -> bool {
    matches!(operation, Operation::Backup | Operation::Restore)
}

/// Does one of them for the user `uid`, and writes the reply.
pub(crate) fn answer(
    daemon: &Daemon,
    (passage, uid): (&mut Passage, u32),
    call: &DaemonCall,
    params: Reader<'_>,
    reply: &mut [u8],
) -> Result<usize, BackupFault> {
    let id = call.id();
    if call.operation() == Operation::Backup {
        let asked = Backup::decode_last(params)?;
        let mut recipients = daemon.recipients.iter();
        let recipient = recipients
            .find(|recipient| recipient.name == asked.recipient)
            .ok_or_else(|| BackupFault::NoRecipient {
                name: asked.recipient.to_owned(),
            })?;
        let giving = &mut passage.giving;
        let vault = &daemon.vault;
        let given = vault.back_up(call, giving, recipient, asked.cursor, &mut SystemDraw)?;
        if asked.cursor.is_none()
            && let Some(text) = vault.left_out_of_backups()?
        {
            Event::Warning { text: &text }.emit();
        }
        let backed_up = BackedUp {
            sealed: &given.part,
            next: given.next.as_ref().map(|next| &next[..]),
        };
        return Ok(write_reply(reply, id, Status::Ok, &backed_up)?);
    }
    let asked = Restore::decode_last(params)?;
    let keys = daemon.vault.restore(
        call,
        (&mut passage.taking, uid),
        &daemon.recipients,
        asked.sealed,
        Daemon::now(),
        &mut SystemDraw,
    )?;
    Ok(write_reply(reply, id, Status::Ok, &Restored { keys })?)
}
