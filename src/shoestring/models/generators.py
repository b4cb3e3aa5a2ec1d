"""Whether a model generates text at all: encoders, speech and image models are described, but not planned or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoestring.errors import ModelError

if TYPE_CHECKING:
    from shoestring.models.facts import ModelFacts


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENCODERS = _names(
    "albert bert camembert convbert deberta deberta-v2 distilbert electra ernie esm eurobert "
    "flaubert funnel ibert layoutlm layoutlmv3 longformer luke mobilebert modernbert mpnet neobert "
    "new nezha nomic_bert roberta roberta-prelayernorm roformer squeezebert xlm xlm-roberta "
    "xlm-roberta-xl xmod yoso jina-bert-v2 jina-bert-v3 nomic-bert nomic-bert-moe neo-bert "
    "modern-bert gemma-embedding t5encoder"
)
_SPEECH = _names(
    "whisper wav2vec2 wav2vec2-bert wav2vec2-conformer hubert wavlm speech_to_text speecht5 "
    "seamless_m4t seamless_m4t_v2 moonshine data2vec-audio audio-spectrogram-transformer encodec "
    "musicgen bark vits"
)
_IMAGES = _names(
    "vit clip clip_vision_model siglip siglip2 siglip_vision_model convnext convnextv2 resnet "
    "efficientnet swin swinv2 beit deit dinov2 dinov3_vit detr yolos segformer mask2former sam sam2 "
    "depth_anything dpt timm_wrapper"
)
_TRANSLATORS = _names(
    "t5 mt5 umt5 longt5 switch_transformers bart mbart pegasus pegasus_x marian m2m_100 blenderbot "
    "blenderbot-small led prophetnet fsmt nllb-moe plbart bigbird_pegasus t5gemma"
)
_KINDS = (
    (_ENCODERS, "an encoder, and an encoder is not a generator", "it turns text into numbers or labels"),
    (_SPEECH, "a speech model", "it works on sound and does not answer in text as a language model does"),
    (_IMAGES, "an image model", "it works on images and does not write text"),
    (_TRANSLATORS, "an encoder-decoder", "this version runs models with a decoder alone"),
)
_HEADS = _names(
    "MaskedLM SequenceClassification TokenClassification QuestionAnswering MultipleChoice "
    "ImageClassification ObjectDetection AudioClassification CTC PreTraining NextSentencePrediction"
)
_HINT = "Look for a model that generates text; its class ends in ForCausalLM or ForConditionalGeneration."


def why_no_generator(architecture: str, class_name: str | None) -> str | None:
    """Why a model cannot generate text, as one sentence; None: nothing speaks against it.

    Args:
        architecture: GGUF's, or a config's `model_type`.
        class_name: of transformers, where it is known.
    """
    shown = class_name or architecture
    for architectures, what, why in _KINDS:
        if architecture in architectures and not (class_name or "").endswith("ForCausalLM"):
            return f"{shown} is {what}: {why}."
    if class_name is not None and any(class_name.endswith(f"For{head}") for head in _HEADS):
        return f"{shown} has no head that gives the next token: it classifies or fills in, and is not a generator."
    return None


def require_generator(facts: ModelFacts) -> None:
    """Refuse a model that cannot generate text, before anything is planned for it.

    Raises:
        ModelError: why it cannot.
    """
    why = why_no_generator(facts.architecture, facts.class_name)
    if why is not None:
        raise ModelError(f"{facts.id} cannot be run here. {why}", _HINT)
