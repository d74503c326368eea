import{a,b,c,d}from"./chunk-3IHGZNBW.js";export{d as Attachment,a as FILE,b as ready,c as sizeOf};
