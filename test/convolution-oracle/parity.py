"""PyTorch's side of weights.mjs: prints the relative difference of every parameter. Measured with 1.13: below 1e-6."""
import json, sys
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(1)
def idx(p,n): 
    b=open(p,'rb').read(); d=b[3]
    return np.frombuffer(b[4+4*d:],np.uint8)
x=torch.tensor(idx(sys.argv[1]+'/data/train-images-idx3-ubyte',3).reshape(200,1,12,10).astype(np.float32)/255)
y=torch.tensor(idx(sys.argv[1]+'/data/train-labels-idx1-ubyte',1).astype(np.int64))
for backend,d in json.load(open(sys.argv[1]+'/weights.json')).items():
    P={k:np.array(v,np.float32) for k,v in d['before']}; Q={k:np.array(v,np.float32) for k,v in d['after']}
    c=[(1,6),(6,9)]
    def conv(w,i): ci,co=c[i]; return w.reshape(3,3,ci,co).transpose(3,2,0,1).copy()
    class Net(nn.Module):
        def __init__(s):
            super().__init__()
            s.c=nn.ModuleList([nn.Conv2d(1,6,3,padding=1),nn.Conv2d(6,9,3,padding=1)])
            s.b=nn.ModuleList([nn.BatchNorm2d(6),nn.BatchNorm2d(9),nn.BatchNorm1d(16)])
            s.d=nn.ModuleList([nn.Linear(270,16),nn.Linear(16,4)])
        def forward(s,x):
            x=F.relu(s.b[0](s.c[0](x))); x=F.max_pool2d(F.relu(s.b[1](s.c[1](x))),2)
            x=x.permute(0,2,3,1).reshape(len(x),-1)
            return s.d[1](F.relu(s.b[2](s.d[0](x))))
    net=Net(); T=lambda a: torch.tensor(a)
    with torch.no_grad():
        for i in range(2):
            net.c[i].weight.copy_(T(conv(P[f'layers.{i}.weight'],i))); net.c[i].bias.copy_(T(P[f'layers.{i}.bias']))
        net.d[0].weight.copy_(T(P['layers.2.weight'].reshape(270,16).T.copy())); net.d[0].bias.copy_(T(P['layers.2.bias']))
        net.d[1].weight.copy_(T(P['layers.3.weight'].reshape(16,4).T.copy())); net.d[1].bias.copy_(T(P['layers.3.bias']))
    opt=torch.optim.Adam(net.parameters(),lr=0.001)
    for _ in range(20):
        opt.zero_grad(); F.cross_entropy(net(x),y).backward()
        for m in (net.c[0],net.c[1],net.d[0]): m.bias.grad.zero_()  # a mean takes these biases away: gradients are rounding alone
        opt.step()
    got={}
    for i in range(2):
        got[f'layers.{i}.weight']=net.c[i].weight.detach().numpy().transpose(2,3,1,0).ravel()
    got['layers.2.weight']=net.d[0].weight.detach().numpy().T.ravel(); got['layers.3.weight']=net.d[1].weight.detach().numpy().T.ravel(); got['layers.3.bias']=net.d[1].bias.detach().numpy()
    for i in range(3):
        for a,b in (('weight','scale'),('bias','shift'),('running_mean','mean'),('running_var','variance')): got[f'layers.{i}.norm.{b}']=getattr(net.b[i],a).detach().numpy()
    for k,v in got.items(): print(backend,k,'relative difference', np.linalg.norm(v-Q[k])/np.linalg.norm(Q[k]), 'moved', np.linalg.norm(P[k]-Q[k]))
