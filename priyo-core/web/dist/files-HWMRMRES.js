import{a,b,c,d}from"./chunk-XZGMIUMN.js";import"./chunk-QMTBNF2R.js";export{d as Attachment,a as FILE,b as ready,c as sizeOf};
