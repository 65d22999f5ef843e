"""Write shapes-v2 in the published layout from the trained parts, F16."""
import sys, json, os, torch, shutil
from safetensors.torch import load_file, save_file
src,out=sys.argv[1:3]
for d in ('text_encoder','unet','vae','tokenizer','scheduler'): os.makedirs(f'{out}/{d}',exist_ok=True)
h=lambda sd:{k:(v.half() if v.is_floating_point() else v).contiguous() for k,v in sd.items()}
t=load_file(f'{src}/text_encoder/model.safetensors'); t={(k if k.startswith('text_model.') else 'text_model.'+k):v for k,v in t.items() if 'position_ids' not in k}
t=h(t); t['text_model.embeddings.position_ids']=torch.arange(77).unsqueeze(0)
torch.save(t,f'{out}/text_encoder/pytorch_model.bin')
u=h(load_file(f'{src}/unet/diffusion_pytorch_model.safetensors')); save_file(u,f'{out}/unet/diffusion_pytorch_model.safetensors',metadata={'format':'pt'})
v=load_file(f'{src}/vae/diffusion_pytorch_model.safetensors'); o={}
for k,x in v.items():
    for a,b in (('to_q','query'),('to_k','key'),('to_v','value'),('to_out.0','proj_attn')): k=k.replace(f'attentions.0.{a}.',f'attentions.0.{b}.')
    o[k]=x
o=h(o); torch.save(o,f'{out}/vae/diffusion_pytorch_model.bin'); save_file(o,f'{out}/vae/diffusion_pytorch_model.safetensors',metadata={'format':'pt'})
for d in ('text_encoder','unet','vae'):
    c=json.load(open(f'{src}/{d}/config.json')); c.pop('transformers_version',None); c.pop('_name_or_path',None)
    if d=='text_encoder': c['architectures']=['CLIPTextModel']; c['torch_dtype']='float16'; c.pop('dtype',None)
    json.dump(c,open(f'{out}/{d}/config.json','w'),indent=2,sort_keys=True)
for f in os.listdir('tokenizer'): shutil.copy(f'tokenizer/{f}',f'{out}/tokenizer/{f}')
json.dump({"_class_name":"PNDMScheduler","_diffusers_version":"0.6.0","beta_end":0.012,"beta_schedule":"scaled_linear","beta_start":0.00085,"num_train_timesteps":1000,"set_alpha_to_one":False,"skip_prk_steps":True,"steps_offset":1,"trained_betas":None,"clip_sample":False},open(f'{out}/scheduler/scheduler_config.json','w'),indent=2)
shutil.copy('model_index.json',f'{out}/model_index.json')
n={d:sum(x.numel() for k,x in s.items() if 'position_ids' not in k) for d,s in (('text_encoder',t),('unet',u),('vae',o))}; print(n)
