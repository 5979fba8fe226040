//! An attestation policy in Rego, as Trustee's, beside ours: it judges what was found authentic and
//! was judged, and it may find it worse. That evidence is authentic, and what the attestation policy
//! wants, is not its to say.

use crate::documents::Documents;
use crate::evaluators::{Evaluators, Turns};
use crate::policies::{PolicyError, fault_of};
use nitride_policy::{Answer, Ask, NamedValues, RegoFault, RegoModule};
use nitride_verify::{Composite, TrustVector, Verdict};
use serde_json::{Map, Value};
use thiserror::Error;

/// The module, and what it asks for by name.
#[derive(Debug)]
pub(crate) struct Appraisal {
    module: RegoModule,
    turns: Turns,
    values: NamedValues,
    text: String,
}

/// There is no verdict of its.
#[derive(Debug, Error)]
#[error("{file}: {submod}: {fault}")]
pub(crate) struct NotAppraised {
    file: String,
    submod: String,
    fault: RegoFault,
}

impl Appraisal {
    /// Reads the module, if there is one, and what it asks for by name.
    pub(crate) fn read(
        documents: &Documents,
        evaluators: &Evaluators,
    ) -> Result<Option<Self>, PolicyError> {
        // Read where no module asks for them, too: what is kept is kept in its form.
        let values = match &documents.named_values {
            Some(values) => NamedValues::parse(&values.text, &values.file)?,
            None => NamedValues::default(),
        };
        let Some(document) = &documents.appraisal else {
            return Ok(None);
        };
        let module = RegoModule::new(&document.text, &document.file)?;
        let turns = evaluators.all_turns();
        match evaluators.ask_now(&turns, &module, Ask::CheckAppraisal) {
            Answer::Yes(_) => {}
            answer => {
                let fault = fault_of(answer);
                let file = document.file.clone();
                return Err(PolicyError::Rego { file, fault });
            }
        }
        let values_text = documents.named_values.as_ref();
        let values_text = values_text.map_or("", |values| &*values.text);
        Ok(Some(Self {
            module,
            turns,
            values,
            text: format!("{}{values_text}", document.text),
        }))
    }

    /// Makes each verdict as bad as the module says, where that is worse.
    pub(crate) async fn apply(
        &self,
        evaluators: &Evaluators,
        composite: &mut Composite,
        now_secs: u64,
    ) -> Result<(), NotAppraised> {
        let reference = self.values.at(now_secs).to_string();
        let submods = composite.submods();
        let submods: Vec<(String, String)> = submods
            .map(|(name, verdict)| (name, input_of(verdict)))
            .collect();
        for (submod, input) in submods {
            let ask = Ask::Appraise {
                input,
                reference: reference.clone(),
            };
            let vector = match evaluators.ask(&self.turns, &self.module, ask).await {
                Answer::Claims(claims) => TrustVector::of_named(&claims)
                    .map_err(|error| RegoFault::Answer(error.to_string())),
                answer => Err(fault_of(answer)),
            };
            let vector = vector.map_err(|fault| NotAppraised {
                file: self.module.file().to_owned(),
                submod: submod.clone(),
                fault,
            })?;
            composite.worsen(&submod, &vector);
        }
        Ok(())
    }

    /// What a digest is taken over: the module, and its values.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The claims of one TEE under its name, as Trustee's policies have them.
fn input_of(verdict: &Verdict) -> String {
    let claims = verdict.claims().iter();
    let claims: Map<String, Value> = claims
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    let input = Map::from_iter([(verdict.tee().as_str().to_owned(), Value::Object(claims))]);
    Value::Object(input).to_string()
}
