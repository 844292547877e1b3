#!/usr/bin/env python3
"""parrot.py FOLDER GENERATION-PROMPT PIECE... : a whole model directory whose greedy answer is exactly the pieces.

One layer that adds nothing, an embedding that gives every token a direction of its own, and a head that turns the
last token into the next: after the generation prompt comes the first piece, after each piece the next, at last the end
token. Pieces are tokens, so they must differ; those that begin with "<|" are special tokens. Messages are rendered as
"role: content" lines, with "(thought: ...)" where a message has reasoning_content.
"""
import json, os, struct, sys

folder, ending, pieces = sys.argv[1], sys.argv[2], sys.argv[3:]
assert len(set(pieces + [ending])) == len(pieces) + 1, "a piece follows itself"
os.makedirs(folder, exist_ok=True)
visible = [c for c in range(256) if 33 <= c < 127 or 161 <= c < 173 or 174 <= c < 256]
hidden = [c for c in range(256) if c not in visible]
vocab = {}
for byte in range(256):
    vocab[chr(byte) if byte in visible else chr(256 + hidden.index(byte))] = byte
words = [ending] + pieces + ["<|endoftext|>"]
ids = {word: 256 + i for i, word in enumerate(words)}
n, end = 384, 256 + len(words) - 1
assert end < n and not set(words) & set(vocab), "a piece is one character"


def special(word):
    return word.startswith("<|") and word.endswith("|>") and word.count("<|") == 1


added = [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
          "special": special(w)} for w, i in ids.items()]
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
             "pre_tokenizer": level, "post_processor": None, "decoder": level,
             "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                       "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}
marks = " ".join(pieces)
template = ("{#- " + marks.replace("#}", "") + " -#}{% for m in messages %}{{ m.role }}: "
            "{% if m.reasoning_content %}(thought: {{ m.reasoning_content }}){% endif %}{{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}{{ " + json.dumps(ending) + " }}{% endif %}")
config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": n, "intermediate_size": 64,
          "max_position_embeddings": 2048, "num_attention_heads": 6, "num_hidden_layers": 1, "num_key_value_heads": 1,
          "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": False, "vocab_size": n,
          "eos_token_id": end}
one = b"\x80\x3f"                                   # 1.0 in bfloat16


def matrix(rows, columns, ones=()):
    data = bytearray(rows * columns * 2)
    for r, c in ones:
        at = 2 * (r * columns + c)
        data[at:at + 2] = one
    return [rows, columns], bytes(data)


chain = [(ids[b], ids[a]) for a, b in zip(words, words[1:])]
layer = "model.layers.0."
tensors = {"model.embed_tokens.weight": matrix(n, n, [(i, i) for i in range(n)]), "lm_head.weight": matrix(n, n, chain),
           "model.norm.weight": ([n], one * n), layer + "input_layernorm.weight": ([n], one * n),
           layer + "post_attention_layernorm.weight": ([n], one * n)}
for name, rows, columns in [("self_attn.q_proj", n, n), ("self_attn.k_proj", 64, n), ("self_attn.v_proj", 64, n),
                            ("self_attn.o_proj", n, n), ("mlp.gate_proj", 64, n), ("mlp.up_proj", 64, n),
                            ("mlp.down_proj", n, 64)]:
    tensors[layer + name + ".weight"] = matrix(rows, columns)
header, data = {}, b""
for name, (shape, raw) in tensors.items():
    header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
with open(os.path.join(folder, "model.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
for name, value in [("config.json", config), ("tokenizer.json", tokenizer),
                    ("tokenizer_config.json", {"eos_token": "<|endoftext|>", "chat_template": template})]:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f)
