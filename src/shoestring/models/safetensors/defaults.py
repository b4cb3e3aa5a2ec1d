"""What transformers' config classes assume where a `config.json` is silent: only what the readers here ask for.

Read from the class fields of transformers 5.24 (`models/*/configuration_*.py`); a test compares them with the library.
"""

from __future__ import annotations

from collections.abc import Mapping

_TABLE = """
apertus: hidden_size=4096 intermediate_size=14336 max_position_embeddings=65536 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=131072
arcee: hidden_size=2560 intermediate_size=18432 max_position_embeddings=4096 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=32000
bamba: hidden_size=4096 intermediate_size=14336 mamba_d_conv=4 mamba_d_state=256 mamba_expand=2
    mamba_n_groups=1 mamba_n_heads=128 max_position_embeddings=262144 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=8 tie_word_embeddings=false vocab_size=128000
bitnet: hidden_size=2560 intermediate_size=6912 max_position_embeddings=2048 num_attention_heads=20
    num_hidden_layers=30 num_key_value_heads=5 tie_word_embeddings=false vocab_size=128256
bloom: hidden_size=64 n_head=8 n_layer=2 tie_word_embeddings=true vocab_size=250880
codegen: n_embd=4096 n_head=16 n_layer=28 n_positions=2048 tie_word_embeddings=false vocab_size=50400
cohere: hidden_size=8192 intermediate_size=22528 max_position_embeddings=8192 num_attention_heads=64
    num_hidden_layers=40 tie_word_embeddings=true vocab_size=256000
cohere2: hidden_size=8192 intermediate_size=22528 max_position_embeddings=8192 num_attention_heads=64
    num_hidden_layers=40 sliding_window=4096 tie_word_embeddings=true vocab_size=256000
deepseek_v2: first_k_dense_replace=0 hidden_size=4096 intermediate_size=11008 kv_lora_rank=512
    max_position_embeddings=2048 moe_intermediate_size=1407 n_routed_experts=64 n_shared_experts=2
    num_attention_heads=32 num_hidden_layers=32 q_lora_rank=1536 qk_nope_head_dim=128 qk_rope_head_dim=64
    tie_word_embeddings=false v_head_dim=128 vocab_size=102400
deepseek_v3: first_k_dense_replace=3 hidden_size=7168 intermediate_size=18432 kv_lora_rank=512
    max_position_embeddings=4096 moe_intermediate_size=2048 n_routed_experts=256 n_shared_experts=1
    num_attention_heads=128 num_experts_per_tok=8 num_hidden_layers=61 num_key_value_heads=128
    q_lora_rank=1536 qk_nope_head_dim=128 qk_rope_head_dim=64 tie_word_embeddings=false v_head_dim=128
    vocab_size=129280
dots1: first_k_dense_replace=0 hidden_size=4608 intermediate_size=10944 max_position_embeddings=2048
    max_window_layers=62 moe_intermediate_size=1408 num_attention_heads=32 num_hidden_layers=62
    num_key_value_heads=32 sliding_window=4096 tie_word_embeddings=false vocab_size=152064
ernie4_5: head_dim=128 hidden_size=1024 intermediate_size=3072 max_position_embeddings=131072
    num_attention_heads=16 num_hidden_layers=18 num_key_value_heads=2 tie_word_embeddings=true
    vocab_size=103424
exaone: hidden_size=4096 intermediate_size=14336 max_position_embeddings=4096 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=8 tie_word_embeddings=false vocab_size=102400
exaone4: hidden_size=4096 intermediate_size=16384 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=32 sliding_window=4096 sliding_window_pattern=4
    tie_word_embeddings=false vocab_size=102400
falcon: hidden_size=4544 max_position_embeddings=2048 multi_query=true new_decoder_architecture=false
    num_attention_heads=71 num_hidden_layers=32 tie_word_embeddings=true vocab_size=65024
falcon_h1: hidden_size=4096 intermediate_size=14336 mamba_d_conv=4 mamba_d_ssm=1024 mamba_d_state=256
    mamba_expand=2 mamba_n_groups=1 mamba_n_heads=128 max_position_embeddings=8192 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=8 tie_word_embeddings=false vocab_size=128000
falcon_mamba: conv_kernel=4 expand=2 hidden_size=768 num_hidden_layers=32 state_size=16
    tie_word_embeddings=true vocab_size=50280
flex_olmo: hidden_size=4096 intermediate_size=11008 max_position_embeddings=4096 num_attention_heads=32
    num_experts=7 num_experts_per_tok=5 num_hidden_layers=32 tie_word_embeddings=false vocab_size=100352
gemma: head_dim=256 hidden_size=3072 intermediate_size=24576 max_position_embeddings=8192
    num_attention_heads=16 num_hidden_layers=28 num_key_value_heads=16 tie_word_embeddings=true
    vocab_size=256000
gemma2: head_dim=256 hidden_size=2304 intermediate_size=9216 max_position_embeddings=8192
    num_attention_heads=8 num_hidden_layers=26 num_key_value_heads=4 sliding_window=4096
    tie_word_embeddings=true vocab_size=256000
gemma3_text: head_dim=256 hidden_size=2304 intermediate_size=9216 max_position_embeddings=131072
    num_attention_heads=8 num_hidden_layers=26 num_key_value_heads=4 sliding_window=4096
    tie_word_embeddings=true vocab_size=262208
gemma3n_text: head_dim=256 hidden_size=2048 intermediate_size=16384 max_position_embeddings=32768
    num_attention_heads=8 num_hidden_layers=35 num_key_value_heads=2 num_kv_shared_layers=15
    sliding_window=512 tie_word_embeddings=true vocab_size=262400
gemma4_text: attention_k_eq_v=false enable_moe_block=false head_dim=256 hidden_size=2304
    intermediate_size=9216 max_position_embeddings=131072 num_attention_heads=8 num_hidden_layers=30
    num_key_value_heads=4 num_kv_shared_layers=0 sliding_window=512 tie_word_embeddings=true
    use_double_wide_mlp=false vocab_size=262144
glm: head_dim=128 hidden_size=4096 intermediate_size=13696 max_position_embeddings=131072
    num_attention_heads=32 num_hidden_layers=40 num_key_value_heads=2 tie_word_embeddings=false
    vocab_size=151552
glm4: head_dim=128 hidden_size=4096 intermediate_size=13696 max_position_embeddings=131072
    num_attention_heads=32 num_hidden_layers=40 num_key_value_heads=2 tie_word_embeddings=false
    vocab_size=151552
glm4_moe: first_k_dense_replace=1 hidden_size=4096 intermediate_size=10944 max_position_embeddings=131072
    moe_intermediate_size=1408 n_routed_experts=128 n_shared_experts=1 num_attention_heads=96
    num_experts_per_tok=8 num_hidden_layers=46 num_key_value_heads=8 tie_word_embeddings=false
    vocab_size=151552
glm4_moe_lite: hidden_size=2048 intermediate_size=10240 kv_lora_rank=512 max_position_embeddings=202752
    moe_intermediate_size=1536 n_routed_experts=64 n_shared_experts=1 num_attention_heads=20
    num_experts_per_tok=4 num_hidden_layers=47 num_key_value_heads=20 q_lora_rank=768 qk_nope_head_dim=192
    qk_rope_head_dim=64 tie_word_embeddings=false v_head_dim=256 vocab_size=154880
gpt2: n_embd=768 n_head=12 n_layer=12 n_positions=1024 tie_word_embeddings=true vocab_size=50257
gpt_bigcode: multi_query=true n_embd=768 n_head=12 n_layer=12 n_positions=1024 tie_word_embeddings=true
    vocab_size=50257
gpt_neox: hidden_size=6144 intermediate_size=24576 max_position_embeddings=2048 num_attention_heads=64
    num_hidden_layers=44 tie_word_embeddings=false vocab_size=50432
gpt_oss: head_dim=64 hidden_size=2880 intermediate_size=2880 max_position_embeddings=131072
    num_attention_heads=64 num_experts_per_tok=4 num_hidden_layers=36 num_key_value_heads=8
    num_local_experts=128 sliding_window=128 tie_word_embeddings=false vocab_size=201088
gptj: n_embd=4096 n_head=16 n_layer=28 n_positions=2048 tie_word_embeddings=false vocab_size=50400
granite: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=32000
granitemoe: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048 num_attention_heads=32
    num_experts_per_tok=2 num_hidden_layers=32 num_local_experts=8 tie_word_embeddings=false
    vocab_size=32000
granitemoehybrid: hidden_size=4096 intermediate_size=11008 mamba_d_conv=4 mamba_d_state=256 mamba_expand=2
    mamba_n_groups=1 mamba_n_heads=128 max_position_embeddings=2048 num_attention_heads=32
    num_experts_per_tok=2 num_hidden_layers=32 num_local_experts=8 shared_intermediate_size=1024
    tie_word_embeddings=false vocab_size=32000
granitemoeshared: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048
    num_attention_heads=32 num_experts_per_tok=2 num_hidden_layers=32 num_local_experts=8
    shared_intermediate_size=0 tie_word_embeddings=false vocab_size=32000
helium: head_dim=128 hidden_size=2560 intermediate_size=7040 max_position_embeddings=4096
    num_attention_heads=20 num_hidden_layers=24 num_key_value_heads=20 tie_word_embeddings=false
    vocab_size=48000
hunyuan_v1_dense: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048
    num_attention_heads=32 num_hidden_layers=32 tie_word_embeddings=false vocab_size=290943
internlm3: head_dim=128 hidden_size=4096 intermediate_size=10240 max_position_embeddings=32768
    num_attention_heads=32 num_hidden_layers=48 num_key_value_heads=2 tie_word_embeddings=false
    vocab_size=128512
jais2: hidden_size=3328 intermediate_size=26624 max_position_embeddings=8192 num_attention_heads=26
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=150272
jamba: attn_layer_offset=4 attn_layer_period=8 expert_layer_offset=1 expert_layer_period=2 hidden_size=4096
    intermediate_size=14336 mamba_d_conv=4 mamba_d_state=16 mamba_expand=2 max_position_embeddings=262144
    num_attention_heads=32 num_experts=16 num_experts_per_tok=2 num_hidden_layers=32 num_key_value_heads=8
    tie_word_embeddings=false vocab_size=65536
lfm2: conv_L_cache=3 hidden_size=2560 intermediate_size=12288 max_position_embeddings=128000
    num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=8 tie_word_embeddings=true
    vocab_size=65536
llama: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=32000
llama4_text: attention_chunk_size=8192 head_dim=128 hidden_size=5120 interleave_moe_layer_step=1
    intermediate_size=8192 intermediate_size_mlp=16384 max_position_embeddings=131072
    no_rope_layer_interval=4 num_attention_heads=40 num_experts_per_tok=1 num_hidden_layers=48
    num_key_value_heads=8 num_local_experts=16 tie_word_embeddings=false vocab_size=202048
mamba: conv_kernel=4 expand=2 hidden_size=768 num_hidden_layers=32 state_size=16 tie_word_embeddings=true
    vocab_size=50280
mamba2: conv_kernel=4 expand=2 head_dim=64 hidden_size=4096 n_groups=8 num_heads=128 num_hidden_layers=64
    state_size=128 tie_word_embeddings=false vocab_size=32768
minimax_m2: head_dim=128 hidden_size=3072 intermediate_size=1536 max_position_embeddings=196608
    num_attention_heads=48 num_experts_per_tok=8 num_hidden_layers=62 num_key_value_heads=8
    num_local_experts=256 tie_word_embeddings=false vocab_size=200064
ministral: hidden_size=4096 intermediate_size=14336 max_position_embeddings=131072 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=8 sliding_window=4096 tie_word_embeddings=false
    vocab_size=32000
ministral3: head_dim=128 hidden_size=4096 intermediate_size=14336 max_position_embeddings=262144
    num_attention_heads=32 num_hidden_layers=34 num_key_value_heads=8 tie_word_embeddings=false
    vocab_size=131072
mistral: hidden_size=4096 intermediate_size=14336 max_position_embeddings=131072 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=8 sliding_window=4096 tie_word_embeddings=false
    vocab_size=32000
mixtral: hidden_size=4096 intermediate_size=14336 max_position_embeddings=131072 num_attention_heads=32
    num_experts_per_tok=2 num_hidden_layers=32 num_key_value_heads=8 num_local_experts=8
    tie_word_embeddings=false vocab_size=32000
nanochat: hidden_size=768 intermediate_size=8192 max_position_embeddings=2048 num_attention_heads=6
    num_hidden_layers=12 tie_word_embeddings=false vocab_size=50304
nemotron: hidden_size=6144 intermediate_size=24576 max_position_embeddings=4096 num_attention_heads=48
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=256000
olmo: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=50304
olmo2: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=50304
olmo3: hidden_size=4096 intermediate_size=11008 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=32 sliding_window=4096 tie_word_embeddings=false vocab_size=50304
olmoe: hidden_size=2048 intermediate_size=2048 max_position_embeddings=4096 num_attention_heads=16
    num_experts=64 num_experts_per_tok=8 num_hidden_layers=16 tie_word_embeddings=false vocab_size=50304
opt: ffn_dim=3072 hidden_size=768 max_position_embeddings=2048 num_attention_heads=12 num_hidden_layers=12
    tie_word_embeddings=true vocab_size=50272
persimmon: hidden_size=4096 intermediate_size=16384 max_position_embeddings=16384 num_attention_heads=64
    num_hidden_layers=36 tie_word_embeddings=false vocab_size=262144
phi: hidden_size=2048 intermediate_size=8192 max_position_embeddings=2048 num_attention_heads=32
    num_hidden_layers=24 tie_word_embeddings=false vocab_size=51200
phi3: hidden_size=3072 intermediate_size=8192 max_position_embeddings=4096 num_attention_heads=32
    num_hidden_layers=32 tie_word_embeddings=false vocab_size=32064
phimoe: hidden_size=4096 intermediate_size=6400 max_position_embeddings=131072 num_attention_heads=32
    num_experts_per_tok=2 num_hidden_layers=32 num_key_value_heads=8 num_local_experts=16
    tie_word_embeddings=false vocab_size=32064
qwen2: hidden_size=4096 intermediate_size=22016 max_position_embeddings=32768 max_window_layers=28
    num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32 sliding_window=4096
    tie_word_embeddings=false use_sliding_window=false vocab_size=151936
qwen2_5_vl_text: hidden_size=8192 intermediate_size=29568 max_position_embeddings=32768 max_window_layers=80
    num_attention_heads=64 num_hidden_layers=80 num_key_value_heads=8 sliding_window=4096
    use_sliding_window=false vocab_size=152064
qwen2_moe: decoder_sparse_step=1 hidden_size=2048 intermediate_size=5632 max_position_embeddings=32768
    max_window_layers=28 moe_intermediate_size=1408 num_attention_heads=16 num_experts=60
    num_experts_per_tok=4 num_hidden_layers=24 num_key_value_heads=16 shared_expert_intermediate_size=5632
    sliding_window=4096 tie_word_embeddings=false use_sliding_window=false vocab_size=151936
qwen2_vl_text: hidden_size=8192 intermediate_size=29568 max_position_embeddings=32768 max_window_layers=80
    num_attention_heads=64 num_hidden_layers=80 num_key_value_heads=8 sliding_window=4096
    use_sliding_window=false vocab_size=152064
qwen3: head_dim=128 hidden_size=4096 intermediate_size=22016 max_position_embeddings=32768
    max_window_layers=28 num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32
    sliding_window=4096 tie_word_embeddings=false use_sliding_window=false vocab_size=151936
qwen3_5_moe_text: head_dim=256 hidden_size=2048 linear_conv_kernel_dim=4 linear_key_head_dim=128
    linear_num_key_heads=16 linear_num_value_heads=32 linear_value_head_dim=128
    max_position_embeddings=32768 moe_intermediate_size=512 num_attention_heads=16 num_experts=256
    num_experts_per_tok=8 num_hidden_layers=40 num_key_value_heads=2 shared_expert_intermediate_size=512
    tie_word_embeddings=false vocab_size=248320
qwen3_5_text: head_dim=256 hidden_size=4096 intermediate_size=12288 linear_conv_kernel_dim=4
    linear_key_head_dim=128 linear_num_key_heads=16 linear_num_value_heads=32 linear_value_head_dim=128
    max_position_embeddings=32768 num_attention_heads=16 num_hidden_layers=32 num_key_value_heads=4
    tie_word_embeddings=false vocab_size=248320
qwen3_moe: decoder_sparse_step=1 hidden_size=2048 intermediate_size=6144 max_position_embeddings=32768
    moe_intermediate_size=768 num_attention_heads=32 num_experts=128 num_experts_per_tok=8
    num_hidden_layers=24 num_key_value_heads=4 sliding_window=4096 tie_word_embeddings=false
    use_sliding_window=false vocab_size=151936
qwen3_next: decoder_sparse_step=1 head_dim=256 hidden_size=2048 intermediate_size=5632
    linear_conv_kernel_dim=4 linear_key_head_dim=128 linear_num_key_heads=16 linear_num_value_heads=32
    linear_value_head_dim=128 max_position_embeddings=32768 moe_intermediate_size=512 num_attention_heads=16
    num_experts=512 num_experts_per_tok=10 num_hidden_layers=48 num_key_value_heads=2
    shared_expert_intermediate_size=512 tie_word_embeddings=false vocab_size=151936
qwen3_vl_text: head_dim=128 hidden_size=4096 intermediate_size=22016 max_position_embeddings=128000
    num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32 vocab_size=151936
seed_oss: head_dim=128 hidden_size=4096 intermediate_size=27648 max_position_embeddings=524288
    num_attention_heads=80 num_hidden_layers=64 num_key_value_heads=8 tie_word_embeddings=false
    vocab_size=155136
smollm3: hidden_size=2048 intermediate_size=11008 max_position_embeddings=32768 no_rope_layer_interval=4
    num_attention_heads=16 num_hidden_layers=36 num_key_value_heads=4 tie_word_embeddings=true
    use_sliding_window=false vocab_size=128256
solar_open: head_dim=128 hidden_size=4096 max_position_embeddings=131072 moe_intermediate_size=1280
    n_routed_experts=128 n_shared_experts=1 num_attention_heads=64 num_experts_per_tok=8
    num_hidden_layers=48 num_key_value_heads=8 tie_word_embeddings=false vocab_size=196608
stablelm: hidden_size=2560 intermediate_size=6912 max_position_embeddings=4096 num_attention_heads=32
    num_hidden_layers=32 num_key_value_heads=32 tie_word_embeddings=false vocab_size=50304
starcoder2: hidden_size=3072 intermediate_size=12288 max_position_embeddings=4096 num_attention_heads=24
    num_hidden_layers=30 num_key_value_heads=2 tie_word_embeddings=true vocab_size=49152
vaultgemma: head_dim=256 hidden_size=2304 intermediate_size=9216 max_position_embeddings=8192
    num_attention_heads=8 num_hidden_layers=26 num_key_value_heads=4 sliding_window=4096
    tie_word_embeddings=true vocab_size=256000
"""


def _parse(table: str) -> dict[str, Mapping[str, int | bool]]:
    found: dict[str, dict[str, int | bool]] = {}
    for word in table.split():
        if word.endswith(":"):
            of_family = found.setdefault(word[:-1], {})
        else:
            key, _, value = word.partition("=")
            of_family[key] = value == "true" if value in ("true", "false") else int(value)
    return dict(found)


DEFAULTS: Mapping[str, Mapping[str, int | bool]] = _parse(_TABLE)
"""By `model_type` of the text model."""
